"""Content vectors on disk: append-only Arrow files, read through memory maps.

Below `<uri>/<encoder_id>/` lie two kinds of shards (`content.shards`):
  `items-….arrow`     item key → key of its text, key of the fields that the text was made from
  `vectors-….arrow`   key of a text → vector (fp16)
A key is the first 16 bytes of a BLAKE2b, as two uint64. Vectors are written before the items that
point to them; of several entries for an item the one in the later shard (by name) holds. Items are verified
when a shard is opened, vectors when one of a shard is read first. Two writers cannot harm each other; at
worst the same vector is there twice.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from learn_features.content.key_index import KEY_BYTES, KeyIndex, id_keys, pairs
from learn_features.content.shards import Shards
from learn_features.errors import DataError, SpaceMismatch

ITEMS = "items"
VECTORS = "vectors"
SORTED = {b"sorted": b"1"}
"""Schema metadata of a shard whose keys are in order, each once."""
ITEM_COLUMNS = ("item_0", "item_1", "text_0", "text_1", "source_0", "source_1")

Keys = NDArray[np.uint64]
"""(n, 2)"""


def content_hash(text: str) -> bytes:
    """16 bytes that stand for a text."""
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest()


class ContentStore:
    """Vectors of one encoder below a local folder or an fsspec URI.

    Remote shards are copied once into `cache` (default: `~/.cache/learn-features/content`), since a
    memory map needs a file. Not thread-safe; each thread opens its own.
    """

    def __init__(
        self, uri: str, encoder_id: str, dimension: int | None = None, cache: Path | None = None
    ) -> None:
        self.encoder_id = encoder_id
        self.shards = Shards(uri, encoder_id, cache)
        self._dimension = dimension
        self._reset()
        self.reload()

    @property
    def dimension(self) -> int | None:
        """C; None while the store is empty and nobody has said."""
        return self._dimension

    def __len__(self) -> int:
        """Items with a text."""
        return len(self._items)

    def reload(self) -> int:
        """Take in shards written since; how many. Raises `DataError` on an altered or broken one."""
        for attempt in range(3):
            try:
                return self._take_in()
            except FileNotFoundError:  # listed, then deleted by a compaction: list again
                self._reset()
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def put(
        self,
        item_ids: Sequence[str],
        content_hashes: Sequence[bytes],
        vectors: NDArray[np.float16],
        sources: Keys | None = None,
    ) -> None:
        """Append items with their texts' hashes and vectors (n, C) fp16; readable at once and for all.

        Raises `SpaceMismatch` if the width differs from the store's, `DataError` if one is not finite,
        `StoreUnavailable` if they cannot be written.
        """
        if vectors.ndim != 2 or not len(item_ids) == len(content_hashes) == len(vectors):
            counts = f"{len(item_ids)} items, {len(content_hashes)} hashes, vectors {vectors.shape}"
            raise DataError(f"content store {self.shards.root}: {counts} do not agree")
        if not len(item_ids):
            return
        if self._dimension not in (None, vectors.shape[1]):
            raise SpaceMismatch(
                f"content store {self.shards.root}: vectors have {vectors.shape[1]} numbers, the encoder "
                f"{self.encoder_id} has {self._dimension}"
            )
        if vectors.dtype != np.float16 or not np.isfinite(vectors).all():
            raise DataError(
                f"content vectors for {self.shards.root} must be finite float16, are {vectors.dtype}"
            )
        texts = pairs(content_hashes)
        missing = np.flatnonzero(~self._texts.find(texts)[1])
        if len(missing):
            missing = missing[np.unique(texts[missing], axis=0, return_index=True)[1]]
            self._write(VECTORS, vector_table(texts[missing], vectors[missing]))
        self.point(item_ids, content_hashes, sources)

    def point(
        self, item_ids: Sequence[str], content_hashes: Sequence[bytes], sources: Keys | None = None
    ) -> None:
        """Append that items now have texts whose vectors are there already; `sources`: see `current`."""
        if len(item_ids):
            sources = np.zeros((len(item_ids), 2), np.uint64) if sources is None else sources
            keys = np.concatenate([id_keys(item_ids), pairs(content_hashes), sources], axis=1)
            self._write(ITEMS, key_table(ITEM_COLUMNS, keys))

    def current(self, item_ids: Sequence[str]) -> tuple[Keys, Keys, NDArray[np.bool_]]:
        """What the store knows the items by: keys of their texts (n, 2), keys of the fields that these were
        made from (n, 2; zeros: not known), and whether it knows a text (n,)."""
        values, found = self._items.find(id_keys(item_ids))
        return values[:, :2], values[:, 2:], found

    def has(self, content_hashes: Sequence[bytes]) -> NDArray[np.bool_]:
        """Whether there is a vector, per text (n,)."""
        return self.has_keys(pairs(content_hashes))

    def has_keys(self, texts: Keys) -> NDArray[np.bool_]:
        """The same of texts by their keys (n, 2)."""
        return self._texts.find(texts)[1]

    def up_to_date(self, item_ids: Sequence[str], content_hashes: Sequence[bytes]) -> NDArray[np.bool_]:
        """Whether an item's vector is there and is that of this text (n,)."""
        keys, _, found = self.current(item_ids)
        return found & (keys == pairs(content_hashes)).all(axis=1) & self.has(content_hashes)

    def lookup(self, item_ids: Sequence[str]) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """Vectors (n, C) of the items, zeros where there is none, and which were found (n,).

        C is 0 while the store is empty and was opened without `dimension`. `DataError` if a shard that is
        read from is damaged.
        """
        try:
            return self._looked_up(item_ids)
        except FileNotFoundError:  # a shard that a compaction has replaced and deleted since: list again
            self.reload()
            return self._looked_up(item_ids)

    def _looked_up(self, item_ids: Sequence[str]) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        texts, _, known = self.current(item_ids)
        vectors, found = self.vectors(texts)
        found &= known
        vectors[~found] = 0
        return vectors, found

    def vectors(self, texts: Keys) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """The same by keys of texts (n, 2)."""
        vectors = np.zeros((len(texts), self._dimension or 0), dtype=np.float16)
        places, found = self._texts.find(texts)
        rows = np.flatnonzero(found)
        if len(rows):
            order = rows[np.argsort(places[rows, 0], kind="stable")]
            shards, starts = np.unique(places[order, 0], return_index=True)
            for shard, part in zip(shards, np.split(order, starts[1:]), strict=True):
                vectors[part] = self._map(int(shard))[places[part, 1]]
        return vectors, found

    def _reset(self) -> None:
        self._known: set[str] = set()
        self._vector_shards: list[str] = []
        self._maps: dict[int, NDArray[np.float16]] = {}
        self._texts = KeyIndex()  # text key → (shard, row)
        self._items = KeyIndex(width=4)  # item key → text key, source key

    def _take_in(self) -> int:
        names = self.shards.names()
        before = self._known
        later = max((name for name in before if name.startswith(ITEMS)), default="")
        new = [name for name in names if name not in before]
        # Replaced shards, or a writer whose clock lags: the order by name decides, so read all again.
        if not before <= set(names) or any(name.startswith(ITEMS) and name < later for name in new):
            self._reset()
        for name in names:
            if name not in self._known:
                self._add(name)
        return len(new)

    def _add(self, name: str, written: pa.Table | None = None) -> None:
        """Index a shard, from its file unless it has just been `written`."""
        is_vectors = name.startswith(VECTORS)
        table = self.shards.open(name, verify=not is_vectors) if written is None else written
        if is_vectors:
            self._add_vectors(name, table)
        else:
            self._add_items(table)
        self._known.add(name)

    def _map(self, shard: int) -> NDArray[np.float16]:
        """The vectors (rows, C) of a shard, verified and mapped when they are read first."""
        if shard not in self._maps:
            name = self._vector_shards[shard]
            column = _in_place(self.shards.open(name, verify=True)["vector"])
            flat = column.flatten().to_numpy(zero_copy_only=True)
            self._maps[shard] = flat.reshape(-1, column.type.list_size)
        return self._maps[shard]

    def _add_items(self, table: pa.Table) -> None:
        nothing = np.zeros(len(table), np.uint64)
        columns = [_column(table, c) if c in table.column_names else nothing for c in ITEM_COLUMNS]
        if is_sorted(table):
            self._items.add_sorted(columns[0], columns[1], tuple(columns[2:]))
        else:
            self._items.add(np.stack(columns[:2], axis=1), np.stack(columns[2:], axis=1))

    def _add_vectors(self, name: str, table: pa.Table) -> None:
        width = table.schema.field("vector").type.list_size
        if self._dimension is None:
            self._dimension = width
        if width != self._dimension:
            raise SpaceMismatch(
                f"{self.shards.root}/{name}: vectors have {width} numbers, the encoder {self.encoder_id} has "
                f"{self._dimension}"
            )
        shard = np.broadcast_to(np.uint64(len(self._vector_shards)), len(table))
        row = np.arange(len(table), dtype=np.uint64)
        self._vector_shards.append(name)
        keys = _column(table, "text_0"), _column(table, "text_1")
        if is_sorted(table):
            self._texts.add_sorted(*keys, (shard, row))
        else:
            self._texts.add(np.stack(keys, axis=1), np.stack([shard, row], axis=1))

    def _write(self, kind: str, table: pa.Table) -> None:
        later = max((name for name in self._known if name.startswith(kind)), default="")
        name = self.shards.write(kind, table)
        if name < later:  # another writer's clock is ahead: its entries hold
            self.reload()
        else:
            self._add(name, table)


def is_sorted(table: pa.Table) -> bool:
    return bool((table.schema.metadata or {}).get(b"sorted") == b"1")


def key_table(names: Sequence[str], keys: NDArray[np.uint64]) -> pa.Table:
    """A table of `keys` (n, columns)."""
    return pa.table([pa.array(np.ascontiguousarray(column)) for column in keys.T], names=list(names))


def vector_table(texts: Keys, vectors: NDArray[np.float16]) -> pa.Table:
    """A table of vectors (n, C) by keys of texts (n, 2)."""
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), type=pa.float16())
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return key_table(("text_0", "text_1"), texts).append_column("vector", column)


def _column(table: pa.Table, name: str) -> NDArray[np.uint64]:
    column: NDArray[np.uint64] = _in_place(table[name]).to_numpy(zero_copy_only=True)
    return column


def _in_place(column: pa.ChunkedArray) -> pa.Array:
    """A shard's column in its memory map; a shard is written as one chunk, which `combine_chunks` copies."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
