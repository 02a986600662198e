"""Content vectors of items in a stream: cells of the online store first, then the shards."""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.content.lookup import ContentLookup
from learn_features.content.store import ContentStore
from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.features.row_store import RowStore

CACHE_SECONDS = 60.0
_ABSENT_SECONDS = 1.0
"""Absence is forgotten sooner: a new item is looked up right after it was uploaded."""
_CACHE_ITEMS = 200_000


class StreamedContents:
    """The overlay: content vectors of one encoder that came in by stream, from `item_content__<encoder>`."""

    def __init__(self, store: RowStore, encoder_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._field = names.item_content_view(encoder_id)
        self._clock = clock
        self._cells: dict[str, tuple[float, online.Cell | None]] = {}

    def __call__(self, item_ids: Sequence[str]) -> dict[str, NDArray[np.float32] | None]:
        """Vectors (C,) of those of `item_ids` that are there; None: the item was deleted."""
        now = self._clock()
        if len(self._cells) > _CACHE_ITEMS:
            self._cells.clear()
        wanted = [item for item in dict.fromkeys(item_ids) if self._cells.get(item, (0.0, None))[0] <= now]
        keys = [online.entity_key(c.ITEM_ID, item) for item in wanted]
        rows = self._store.read_fields(keys, [self._field]) if keys else []
        for item, (raw,) in zip(wanted, rows, strict=True):
            cell = None if raw is None else online.decode_cell(raw)
            self._cells[item] = (now + (CACHE_SECONDS if cell else _ABSENT_SECONDS), cell)
        found: dict[str, NDArray[np.float32] | None] = {}
        for item in item_ids:
            cell = self._cells[item][1]
            if cell is not None:
                deleted = cell.payload == online.TOMBSTONE
                found[item] = None if deleted else online.decode_vector(cell.payload)
        return found

    def as_of_us(self, item_id: str) -> int | None:
        """When the item was appended, if it came by stream and was asked for just now."""
        cell = self._cells.get(item_id, (0.0, None))[1]
        return None if cell is None else cell.as_of_us


class ItemContents:
    """Content vectors by encoder and item, with the time the newest of them was known."""

    def __init__(self, config: Config, store: RowStore) -> None:
        self._config = config
        self._store = store
        self._lookups: dict[str, tuple[ContentLookup, StreamedContents]] = {}

    def __call__(
        self, encoder_id: str, item_ids: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors (n, C), zeros where there is none, and which were found (n,)."""
        vectors, found = self._opened(encoder_id)[0](item_ids)
        return vectors.astype(np.float32), found

    def as_of_us(self, encoder_id: str, item_id: str) -> int | None:
        """When an item that came by stream was appended; None: it is in the shards, or unknown."""
        return self._opened(encoder_id)[1].as_of_us(item_id)

    def _opened(self, encoder_id: str) -> tuple[ContentLookup, StreamedContents]:
        if encoder_id not in self._lookups:
            overlay = StreamedContents(self._store, encoder_id)
            shards = ContentStore(self._config.content, encoder_id)
            self._lookups[encoder_id] = (ContentLookup(shards, overlay, CACHE_SECONDS), overlay)
        return self._lookups[encoder_id]
