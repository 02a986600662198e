"""Interactions, refreshes and requests to forget → histories and user vectors, one atomic write a user."""

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from learn_features.contracts import columns as c
from learn_features.contracts import names, offline, online
from learn_features.contracts.events import InteractionRecord, RefreshKind
from learn_features.errors import StoreUnavailable
from learn_features.features.row_store import RowStore
from learn_features.streaming.handler import GuardedRows
from learn_features.streaming.metrics import StreamMetrics
from learn_features.streaming.offline_buffer import Append, plain_rows, vector_rows
from learn_features.streaming.records import Event, InteractionEvent, RefreshEvent
from learn_features.streaming.spaces import Spaces
from learn_features.streaming.user_rows import UserChange, UserRow, UserRows
from learn_features.streaming.user_vectors import UserVectors

_ATTEMPTS = 50
_PAUSE_SECONDS = 0.01
_log = logging.getLogger(__name__)


@dataclass
class _Log:
    """What a batch adds to the offline log."""

    interactions: list[InteractionEvent] = field(default_factory=list)
    forgotten: list[RefreshEvent] = field(default_factory=list)


class UserUpdater:
    """Everything a batch says about a user becomes one compare-and-set write of the user's row."""

    topics: tuple[str, ...] = (names.TOPIC_INTERACTIONS, names.TOPIC_USER_REFRESH)
    role = "user-updater"
    max_batch: int | None = None

    def __init__(self, store: RowStore, spaces: Spaces, vectors: UserVectors, metrics: StreamMetrics) -> None:
        self._store = store
        self._spaces = spaces
        self._vectors = vectors
        self._metrics = metrics

    def prepare(self) -> None:
        """Map the shards of content vectors of every space."""
        self._vectors.prepare()

    def handle(self, events: Sequence[Event], rows: GuardedRows) -> list[Append]:
        log = _Log()
        left = coalesce(events, log)
        written: list[UserRow] = []
        for _ in range(_ATTEMPTS):
            done, lost = self._attempt(left, rows)
            written += done
            if not lost:
                return self._appends(log, written)
            self._metrics.conflicts.inc(len(lost))
            left = {user: left[user] for user in lost}
            time.sleep(random.uniform(0, _PAUSE_SECONDS))
        raise StoreUnavailable(f"{len(left)} users' rows change faster than they can be written")

    def _attempt(self, changes: dict[str, UserChange], rows: GuardedRows) -> tuple[list[UserRow], list[str]]:
        """Read, merge, embed, write once: the rows that hold now, and users who were written by others."""
        stored = rows.read([online.entity_key(c.USER_ID, user) for user in changes])
        table = UserRows(self._spaces.document, changes, dict(zip(changes, stored, strict=True)))
        stale = [row for row in table.rows if row.stale]
        self._vectors.embed(stale)
        writes = [row.write() for row in stale]
        outcome = self._store.replace_rows(writes)
        lost = [row.user_id for row, ok in zip(stale, outcome, strict=True) if not ok]
        gone = set(lost)
        return [row for row in table.rows if row.user_id not in gone], lost

    def _appends(self, log: _Log, rows: Sequence[UserRow]) -> list[Append]:
        """Raw events, and each space's vectors as they stand now, whether this batch or an earlier
        one whose flush was lost has written them."""
        appends = [
            plain_rows(
                offline.INTERACTIONS,
                offline.INTERACTION_SCHEMA,
                [_interaction(event.record, event.append_us) for event in log.interactions],
            ),
            plain_rows(
                offline.FORGOTTEN,
                offline.FORGOTTEN_SCHEMA,
                [{c.USER_ID: e.record.user_id, c.AS_OF: e.append_us} for e in log.forgotten],
            ),
        ]
        for space_id in self._spaces.document.embedded_spaces:
            view = names.user_embedding_view(space_id)
            cells = [(row.user_id, cell) for row in rows if (cell := row.vectors.get(space_id)) is not None]
            values = [
                None if cell.payload == online.TOMBSTONE else online.decode_vector(cell.payload)
                for _, cell in cells
            ]
            users = [user for user, _ in cells]
            times = [cell.as_of_us for _, cell in cells]
            appends.append(vector_rows(view, c.USER_ID, names.USER_VECTOR, users, values, times))
        return appends


def coalesce(events: Sequence[Event], log: _Log) -> dict[str, UserChange]:
    """All that `events` say about each user, as one change."""
    changes: dict[str, UserChange] = {}
    for event in events:
        if isinstance(event, InteractionEvent):
            change = changes.setdefault(event.record.user_id, UserChange())
            change.interactions.append(event)
            log.interactions.append(event)
        elif isinstance(event, RefreshEvent):
            change = changes.setdefault(event.record.user_id, UserChange())
            if event.record.kind is RefreshKind.FORGET:
                change.forgotten_us = max(change.forgotten_us or event.append_us, event.append_us)
                log.forgotten.append(event)
            else:
                change.refresh_us = max(change.refresh_us or event.append_us, event.append_us)
        else:
            continue
        change.append_us = max(change.append_us, event.append_us)
    return changes


def _interaction(record: InteractionRecord, append_us: int) -> dict[str, object]:
    return {
        c.USER_ID: record.user_id,
        c.ITEM_ID: record.item_id,
        c.EVENT_TIMESTAMP: record.event_timestamp,
        c.EVENT_ID: record.identified,
        c.EVENT_TYPE: record.event_type,
        c.VALUE: record.value,
        c.AS_OF: append_us,
    }
