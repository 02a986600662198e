"""Content vectors of items in a stream: cells of the online store first, then the shards."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.content.lookup import ContentLookup
from learn_features.content.store import ContentStore
from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.features.row_store import RowStore

_RELOAD_SECONDS = 0.0
"""Shards are listed for every batch: a refresh that follows a change of text must not embed the old one."""


class StreamedContents:
    """The overlay: content vectors of one encoder that came in by stream, from `item_content__<encoder>`.

    Nothing is kept from batch to batch: a vector's `as_of` promises that it used what was there by then.
    """

    def __init__(self, store: RowStore, encoder_id: str) -> None:
        self._store = store
        self._field = names.item_content_view(encoder_id)
        self._cells: dict[str, online.Cell] = {}

    def __call__(self, item_ids: Sequence[str]) -> dict[str, NDArray[np.float32] | None]:
        """Vectors (C,) of those of `item_ids` that are there; None: the item was deleted."""
        wanted = list(dict.fromkeys(item_ids))
        rows = self._store.read_fields([online.entity_key(c.ITEM_ID, item) for item in wanted], [self._field])
        self._cells = {
            item: online.decode_cell(raw)
            for item, (raw,) in zip(wanted, rows, strict=True)
            if raw is not None
        }
        return {
            item: None if cell.payload == online.TOMBSTONE else online.decode_vector(cell.payload)
            for item, cell in self._cells.items()
        }

    def as_of_us(self, item_id: str) -> int | None:
        """When the item was appended, if it came by stream and was among those asked for last."""
        cell = self._cells.get(item_id)
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
            self._lookups[encoder_id] = (ContentLookup(shards, overlay, _RELOAD_SECONDS), overlay)
        return self._lookups[encoder_id]
