"""One space's towers over the catalogue and over histories, as rows of the offline log."""

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.content.embed import load_content
from learn_features.content.spec import encoder_spec
from learn_features.contracts import columns as c
from learn_features.contracts import offline
from learn_features.contracts.deployment import Space
from learn_features.data.item_index import ItemIndex
from learn_features.data.padding import padded
from learn_features.data.time_gaps import time_gaps
from learn_features.errors import SpaceMismatch
from learn_features.features.history_states import HistoryStates
from learn_features.release.bundle import open_bundle
from learn_features.release.deployment import bundle_uri
from learn_features.release.runtime import OnnxTowers

USERS_A_BATCH = 512

Progress = Callable[[int, int], None]


class SpaceEmbedding:
    """The catalogue's content vectors and the towers of one space.

    `items` are the rows of the offline log's items, deleted ones included. Missing content vectors are
    embedded first. Raises `SpaceMismatch` if the configured encoder is not the space's.
    """

    def __init__(self, config: Config, space: Space, items: pl.DataFrame) -> None:
        configured = encoder_spec(config.encoder)
        if configured.id != space.encoder.id:
            raise SpaceMismatch(
                f"the space reads encoder {space.encoder.id} ({space.encoder.model}, "
                f"{space.encoder.precision}), learn.yaml configures {configured.id} ({configured.model}, "
                f"{configured.precision}); set `encoder` as it was when the space was trained"
            )
        self._towers = OnnxTowers(open_bundle(bundle_uri(config, space)))
        self._known = ItemIndex(items[c.ITEM_ID])
        self._item_as_of = items[c.AS_OF].to_physical().to_numpy()
        live = items.filter(~pl.col(c.DELETED))
        self._content_row = np.full(items.height, -1, np.int64)
        self._content_row[np.flatnonzero(~items[c.DELETED].to_numpy())] = np.arange(live.height)
        self._content: NDArray[np.float16] = load_content(config, live)
        self._residuals = self._towers.residuals(live[c.ITEM_ID].to_list())

    @property
    def item_ids(self) -> list[str]:
        return self._known.ids

    @cached_property
    def item_as_of(self) -> dict[str, int]:
        """When each item was known, in µs."""
        return dict(zip(self._known.ids, self._item_as_of.tolist(), strict=True))

    def content(self, item_id: str) -> NDArray[np.float32] | None:
        """The item's content vector (C,); None: it was deleted."""
        [place] = self._known.encode([item_id])
        row = self._content_row[place]
        return None if row < 0 else self._content[row].astype(np.float32)

    def item_rows(self) -> pa.Table:
        """A row for each item: its vector, or null for a deleted one, since its own `as_of`."""
        vectors = np.zeros((len(self._known), self._towers.dimension), np.float32)
        live = self._content_row >= 0
        if live.any():
            vectors[live] = self._towers.embed_items(self._content.astype(np.float32), self._residuals)
        return _vector_table(
            offline.ITEM_EMBEDDING_SCHEMA, self._known.ids, vectors, self._item_as_of, missing=~live
        )

    def user_rows(self, states: HistoryStates, progress: Progress | None = None) -> Iterator[pa.Table]:
        """Rows of all states whose history has an item that can be embedded, in batches.

        `as_of` is the newest of the events' and of the history's items, deleted ones included.
        """
        places = self._known.encode(states.entries[c.ITEM_ID]).astype(np.int64)
        state = np.repeat(np.arange(len(states)), np.diff(states.offsets))
        as_of = states.as_of_us.copy()
        named = places >= 0
        np.maximum.at(as_of, state[named], self._item_as_of[places[named]])
        rows = np.where(named, self._content_row[places], -1)
        known = rows >= 0
        kept, state = rows[known], state[known]
        lengths = np.bincount(state, minlength=len(states))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        gaps = time_gaps(states.entries[c.EVENT_TIMESTAMP].to_numpy()[known], starts)
        # alike lengths together: less padding
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        for first in range(0, len(order), USERS_A_BATCH):
            some = order[first : first + USERS_A_BATCH]
            entries = np.concatenate([np.arange(starts[at], starts[at + 1]) for at in some])
            vectors = self._embed(kept[entries], gaps[entries], lengths[some])
            ids = [states.user_ids[place] for place in some]
            yield _vector_table(offline.USER_EMBEDDING_SCHEMA, ids, vectors, as_of[some])
            if progress:
                progress(min(first + USERS_A_BATCH, len(order)), len(order))

    def _embed(
        self, rows: NDArray[np.int64], gaps: NDArray[np.float32], lengths: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Vectors of histories of `lengths` (B,), with content rows and gaps (sum of lengths,) of entries."""
        return self._towers.embed_users(
            padded(self._content[rows], lengths),
            lengths,
            None if self._residuals is None else padded(self._residuals[rows], lengths),
            padded(gaps, lengths),
        )


def _vector_table(
    schema: pa.Schema,
    ids: list[str],
    vectors: NDArray[np.float32],
    as_of_us: NDArray[np.int64],
    missing: NDArray[np.bool_] | None = None,
) -> pa.Table:
    """Ids, vectors (n, D) as lists, times; null lists where `missing`."""
    count, width = vectors.shape
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * width)
    mask = None if missing is None else pa.array(missing)
    lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel()), mask=mask)
    times = pa.array(as_of_us.astype(np.int64)).cast(offline.TIMESTAMP)
    return pa.table([pa.array(ids, pa.string()), lists, times], schema=schema)
