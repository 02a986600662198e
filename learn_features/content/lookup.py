"""Content vectors for serving: an overlay of items newer than the shards, then the shards. No torch."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from learn_features.content.store import ContentStore
from learn_features.errors import SpaceMismatch

Overlay = Callable[[Sequence[str]], Mapping[str, NDArray[np.floating] | None]]
"""Item ids → vectors (C,) of those that are newer than the shards; None: the item was deleted."""


class ContentLookup:
    """Vectors by item id. The shards are listed again every `reload_seconds`, the overlay asked always."""

    def __init__(
        self,
        store: ContentStore,
        overlay: Overlay | None = None,
        reload_seconds: float = 60,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._overlay = overlay
        self._reload_seconds = reload_seconds
        self._clock = clock
        self._loaded_at = clock()

    def __call__(self, item_ids: Sequence[str]) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """Vectors (n, C) in order, zeros where there is none, and which were found (n,)."""
        # The overlay is read first: an item trimmed from it afterwards is in the shards already.
        newer = self._overlay(item_ids) if self._overlay is not None and len(item_ids) else {}
        if self._clock() - self._loaded_at >= self._reload_seconds:
            self._store.reload()
            self._loaded_at = self._clock()
        vectors, found = self._store.lookup(item_ids)
        for row, item_id in enumerate(item_ids) if newer else ():
            if item_id not in newer:
                continue
            vector = newer[item_id]
            found[row] = vector is not None
            if vector is None:
                vectors[row] = 0
                continue
            if vectors.shape[1] == 0:  # nothing in the shards yet: the overlay says how wide
                vectors = np.zeros((len(item_ids), len(vector)), dtype=np.float16)
            if len(vector) != vectors.shape[1]:
                raise SpaceMismatch(
                    f"overlay vector of item {item_id} has {len(vector)} numbers, encoder "
                    f"{self._store.encoder_id} has {vectors.shape[1]}"
                )
            vectors[row] = vector
        return vectors, found
