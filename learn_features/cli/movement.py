"""What a click or an upload moves: online rows before and after, asked of the store directly."""

import time
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.contracts.deployment import Space
from learn_features.errors import DeploymentError, StoreUnavailable
from learn_features.features.offline_log import OfflineLog
from learn_features.features.rows import open_row_store
from learn_features.ranking.top_k import top_k
from learn_features.release.deployment import DeploymentStore

_ITEMS_A_READ = 2_000
_POLL_SECONDS = 0.01


class Place(NamedTuple):
    """One line of a ranking."""

    item_id: str
    title: str | None
    score: float


class Movement:
    """Rankings in the space that the configured slot reads. Holds all item vectors: for small worlds."""

    def __init__(self, config: Config) -> None:
        document = DeploymentStore(config.deployment).read()
        slot = document.slots.get(config.slot)
        space_id = document.rankers[slot.ranker].space_id if slot else None
        if space_id is None:
            raise DeploymentError(
                f"slot {config.slot} reads no embedding space yet (document {document.version}); "
                "`learn-features demo`, or `learn-features spaces promote`"
            )
        self.space_id = space_id
        self.space: Space = document.spaces[space_id]
        self._rows = open_row_store(config)
        items = OfflineLog(config.offline).items()
        self._titles = dict(zip(items[c.ITEM_ID], items[c.TITLE], strict=True))

    def close(self) -> None:
        self._rows.close()

    def title(self, item_id: str) -> str | None:
        return self._titles.get(item_id)

    def ranking(self, vector: NDArray[np.float32] | None, k: int, without: str | None = None) -> list[Place]:
        """The `k` items nearest to `vector`; empty without one."""
        if vector is None:
            return []
        ids, vectors = self._catalogue()
        if not ids:
            return []
        hidden = np.array([place for place, item in enumerate(ids) if item == without], dtype=np.int64)
        positions, scores = top_k(vector[None], vectors, k, [hidden])
        return [
            Place(ids[place], self.title(ids[place]), float(score))
            for place, score in zip(positions[0], scores[0], strict=True)
            if place >= 0
        ]

    def user_vector(self, user_id: str) -> NDArray[np.float32] | None:
        return self._vector(c.USER_ID, user_id, names.user_embedding_view(self.space_id))

    def item_vector(self, item_id: str) -> NDArray[np.float32] | None:
        return self._vector(c.ITEM_ID, item_id, names.item_embedding_view(self.space_id))

    def revision(self, join_key: str, entity: str) -> int:
        """The row's `as_of` in µs; 0 where there is no row."""
        key = online.entity_key(join_key, entity)
        [[raw]] = self._rows.read_fields([key], [online.AS_OF_FIELD])
        return 0 if raw is None else online.decode_time(raw)

    def has_entry(self, user_id: str, event_id: str) -> bool:
        """Whether the user's stored history holds the event."""
        view = names.user_history_view(self.space.history.id)
        [[raw]] = self._rows.read_fields([online.entity_key(c.USER_ID, user_id)], [view])
        entries = [] if raw is None else online.decode_history(online.decode_cell(raw).payload)
        return any(entry.event_id == event_id for entry in entries)

    def _vector(self, join_key: str, entity: str, view: str) -> NDArray[np.float32] | None:
        [[raw]] = self._rows.read_fields([online.entity_key(join_key, entity)], [view])
        payload = online.TOMBSTONE if raw is None else online.decode_cell(raw).payload
        return None if payload == online.TOMBSTONE else online.decode_vector(payload)

    def _catalogue(self) -> tuple[list[str], NDArray[np.float32]]:
        view = names.item_embedding_view(self.space_id)
        keys = self._rows.scan_keys(online.entity_key_prefix(c.ITEM_ID))
        found: dict[str, NDArray[np.float32]] = {}
        while batch := list(islice(keys, _ITEMS_A_READ)):
            for key, [raw] in zip(batch, self._rows.read_fields(batch, [view]), strict=True):
                payload = online.TOMBSTONE if raw is None else online.decode_cell(raw).payload
                if payload != online.TOMBSTONE:
                    found[online.entity_value(key)] = online.decode_vector(payload)
        return list(found), np.stack(list(found.values())) if found else np.zeros((0, 0), np.float32)


def seconds_until(done: Callable[[], bool], within: float, what: str) -> float:
    """How long it takes until `done`. Raises `StoreUnavailable` after `within` seconds."""
    started = time.monotonic()
    while not done():
        if time.monotonic() - started > within:
            raise StoreUnavailable(
                f"{what} is not readable after {within:.0f} s; does `learn-features consume` run?"
            )
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - started
