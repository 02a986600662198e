"""User vectors of histories, in one batch for each space. No torch, no Feast."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from learn_features.contracts import online
from learn_features.contracts.deployment import Space
from learn_features.contracts.online import Cell
from learn_features.data.padding import padded
from learn_features.data.time_gaps import time_gaps
from learn_features.streaming.contents import ItemContents
from learn_features.streaming.spaces import Spaces
from learn_features.streaming.user_rows import UserRow

USERS_AT_ONCE = 256


class UserTower(Protocol):
    """The user side of a space (`release.runtime.OnnxTowers`)."""

    def residuals(self, item_ids: Sequence[str]) -> NDArray[np.float32] | None: ...

    def embed_users(
        self,
        content: NDArray[np.float32],
        lengths: NDArray[np.int64],
        residuals: NDArray[np.float32] | None,
        gaps: NDArray[np.float32],
    ) -> NDArray[np.float32]: ...


class UserVectors:
    """Embeds users' merged histories into every space that lacks them."""

    def __init__(self, spaces: Spaces, contents: ItemContents) -> None:
        self._spaces = spaces
        self._contents = contents

    def prepare(self) -> None:
        """Open the content vectors of every space, before the first user asks for some."""
        self._spaces.embed(lambda space_id, space, towers: self._contents(space.encoder.id, []))

    def embed(self, rows: Sequence[UserRow]) -> None:
        """Fill in the missing vectors of `rows`; a space that fails and is not live is left out.

        Items that are not known, or were deleted, are skipped; a user without any known item gets a
        tombstone. The rows' `as_of` takes in the items that came by stream; a cell's sequence is how many
        entries of the history were known.
        """
        found = self._spaces.embed(lambda space_id, space, towers: self._embed(space_id, space, towers, rows))
        for vectors in found.values():
            for row, (_, as_of_us, _) in vectors.items():
                row.known_since(as_of_us)
        for space_id, vectors in found.items():
            for row, (vector, _, count) in vectors.items():
                payload = online.TOMBSTONE if vector is None else online.encode_vector(vector)
                row.vectors[space_id] = Cell(row.as_of_us, count, payload)

    def _embed(
        self, space_id: str, space: Space, towers: UserTower, rows: Sequence[UserRow]
    ) -> Mapping[UserRow, tuple[NDArray[np.float32] | None, int | None, int]]:
        wanted = [row for row in rows if space_id in row.missing]
        histories = [row.histories[space.history.id] for row in wanted]
        items = list(dict.fromkeys(entry.item_id for history in histories for entry in history))
        contents, known = self._contents(space.encoder.id, items)
        place = {item: index for index, item in enumerate(items) if known[index]}
        entries = [[entry for entry in history if entry.item_id in place] for history in histories]
        places = [np.array([place[e.item_id] for e in some], dtype=np.int64) for some in entries]
        times = [np.array([e.event_timestamp_us for e in some], dtype=np.int64) for some in entries]
        vectors = _in_batches(towers, contents, towers.residuals(items), places, times)
        encoder = space.encoder.id
        since = {item: self._contents.as_of_us(encoder, item) for item in items}
        newest = [
            max((t for entry in history if (t := since[entry.item_id]) is not None), default=None)
            for history in histories
        ]
        return dict(zip(wanted, zip(vectors, newest, map(len, entries), strict=True), strict=True))


def _in_batches(
    towers: UserTower,
    contents: NDArray[np.float32],
    residuals: NDArray[np.float32] | None,
    entries: Sequence[NDArray[np.int64]],
    times_us: Sequence[NDArray[np.int64]],
) -> list[NDArray[np.float32] | None]:
    """Vectors (D,) in order, None where a history has no known item; alike lengths together.

    `entries`: of each history the rows of its known items in `contents` (n, C) and `residuals` (n, R).
    """
    vectors: list[NDArray[np.float32] | None] = [None] * len(entries)
    order = sorted((row for row in range(len(entries)) if len(entries[row])), key=lambda r: len(entries[r]))
    for start in range(0, len(order), USERS_AT_ONCE):
        some = order[start : start + USERS_AT_ONCE]
        lengths = np.array([len(entries[row]) for row in some], dtype=np.int64)
        flat = np.concatenate([entries[row] for row in some])
        gaps = time_gaps(np.concatenate([times_us[row] for row in some]), np.cumsum(lengths) - lengths)
        embedded = towers.embed_users(
            padded(contents[flat], lengths),
            lengths,
            None if residuals is None else padded(residuals[flat], lengths),
            padded(gaps, lengths),
        )
        for row, vector in zip(some, embedded, strict=True):
            vectors[row] = vector
    return vectors
