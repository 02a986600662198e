"""Many small shards of a content store → few sorted ones, without vectors that no item has any more."""

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from learn_features.content.key_index import find_rows
from learn_features.content.shards import time_of
from learn_features.content.store import (
    ITEM_COLUMNS,
    ITEMS,
    SORTED,
    VECTORS,
    ContentStore,
    Keys,
    is_sorted,
    key_table,
    vector_table,
)
from learn_features.errors import DataError

SHARD_BYTES = 2**28
"""Vectors of a compacted shard, at most: what a compaction holds in memory."""
GRACE_SECONDS = 3_600.0
"""Replaced shards are kept that long for readers that have listed, but not yet opened them."""


@dataclass(frozen=True)
class CompactionReport:
    """Shards before and after, vectors kept and dropped, files deleted that an earlier run had replaced."""

    shards_before: int
    shards_after: int
    vectors: int
    dropped: int
    deleted: int

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def compact(
    store: ContentStore, grace_seconds: float = GRACE_SECONDS, shard_bytes: int = SHARD_BYTES
) -> CompactionReport:
    """Write the shards in force again, sorted by key, and put the old ones out of force.

    Readers and writers may go on meanwhile: what they add stays, what they have read from stays readable, and
    a reader that misses a shard lists them again. A killed compaction leaves everything in force. Raises
    `DataError` if a shard is damaged.
    """
    store.reload()
    before = store.shards.names()
    deleted = store.shards.delete_replaced(grace_seconds)
    if _is_compact(store, before):
        count = sum(len(store.shards.open(n, verify=False)) for n in before if n.startswith(VECTORS))
        return CompactionReport(len(before), len(before), count, 0, deleted)
    items = _items(store, before)
    texts = np.unique(_text_keys(store, before), axis=0)
    used = np.asfortranarray(np.unique(items[:, 2:4], axis=0))
    kept = texts[find_rows(used, texts) >= 0]
    written = 0
    rows = max(1, shard_bytes // max(1, 2 * (store.dimension or 1)))
    for start in range(0, len(kept), rows):
        part = kept[start : start + rows]
        vectors, found = store.vectors(part)
        if not found.all():
            raise DataError(f"{store.shards.root}: {int((~found).sum())} vectors vanished while compacting")
        store.shards.write(VECTORS, vector_table(part, vectors).replace_schema_metadata(SORTED))
        written += 1
    if len(items):
        # In the place of the newest one it replaces: what was written meanwhile is newer.
        time_ns = max(time_of(name) for name in before if name.startswith(ITEMS))
        table = key_table(ITEM_COLUMNS, items).replace_schema_metadata(SORTED)
        store.shards.write(ITEMS, table, time_ns)
        written += 1
    store.shards.replace(before)
    store.reload()
    return CompactionReport(len(before), written, len(kept), len(texts) - len(kept), deleted)


def _is_compact(store: ContentStore, names: list[str]) -> bool:
    tables = {name: store.shards.open(name, verify=False) for name in names}
    return all(map(is_sorted, tables.values())) and sum(name.startswith(ITEMS) for name in names) <= 1


def _text_keys(store: ContentStore, names: list[str]) -> Keys:
    """Keys of the texts that have a vector, repeated ones too."""
    tables = [store.shards.open(name, verify=True) for name in names if name.startswith(VECTORS)]
    return np.concatenate([np.empty((0, 2), np.uint64), *(_columns(t, ("text_0", "text_1")) for t in tables)])


def _items(store: ContentStore, names: list[str]) -> NDArray[np.uint64]:
    """The entries in force (n, 6), sorted by item."""
    tables = [store.shards.open(name, verify=True) for name in names if name.startswith(ITEMS)]
    entries = np.concatenate([np.empty((0, 6), np.uint64), *(_columns(t, ITEM_COLUMNS) for t in tables)])
    entries = entries[np.lexsort((np.arange(len(entries)), entries[:, 1], entries[:, 0]))]
    last = np.ones(len(entries), dtype=bool)
    last[:-1] = (entries[1:, :2] != entries[:-1, :2]).any(axis=1)
    return entries[last]


def _columns(table: pa.Table, names: tuple[str, ...]) -> NDArray[np.uint64]:
    """(rows, names), zeros for columns that older shards lack."""
    nothing = np.zeros(len(table), np.uint64)
    return np.stack([table[n].to_numpy() if n in table.column_names else nothing for n in names], axis=1)
