"""Users' rows as read, merged with what a batch says about them, on the way to one write each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.contracts.deployment import DeploymentDocument
from learn_features.contracts.history import HistoryEntry, HistoryRule
from learn_features.contracts.online import Cell
from learn_features.data.histories import ENTRY_SCHEMA, counting, newest_entries
from learn_features.features.row_store import RowWrite
from learn_features.streaming.records import InteractionEvent

_OURS = (names.USER_HISTORY_PREFIX, names.USER_EMBEDDING_PREFIX)
_NEW_SCHEMA = {**ENTRY_SCHEMA, c.EVENT_TYPE: pl.String, c.VALUE: pl.Float64}


@dataclass
class UserChange:
    """What a batch says about one user."""

    interactions: list[InteractionEvent] = field(default_factory=list)
    refresh_us: int | None = None
    """Append time of the newest request to recompute."""
    forgotten_us: int | None = None
    """Append time of the newest request to forget."""
    append_us: int = 0
    """Newest append time of all records."""


class UserRow:
    """One user's row: as stored, and as it shall be."""

    def __init__(
        self, user_id: str, change: UserChange, stored: Mapping[str, bytes], document: DeploymentDocument
    ) -> None:
        self.user_id = user_id
        self._document = document
        self._stored = stored
        self._expected = stored.get(online.AS_OF_FIELD)
        raw = stored.get(online.FORGOTTEN_FIELD)
        before = None if raw is None else online.decode_time(raw)
        self.forgotten_us = max((t for t in (before, change.forgotten_us) if t is not None), default=None)
        self._emptied = self.forgotten_us != before
        as_of = 0 if self._expected is None else online.decode_time(self._expected) + 1
        self.as_of_us = max(change.append_us, as_of)
        self._asked = change.refresh_us is not None and (as_of <= change.refresh_us)
        self.interactions = [
            event
            for event in change.interactions
            if self.forgotten_us is None or event.append_us > self.forgotten_us
        ]
        self._cells = {
            name: online.decode_cell(value) for name, value in stored.items() if name.startswith(_OURS)
        }
        self.histories: dict[str, list[HistoryEntry]] = {}
        """Rule id → history as it shall be; only of rules that have one."""
        self._changed: set[str] = set()
        self.vectors: dict[str, Cell] = {}
        """Space id → cell as it shall be."""

    def entries(self, rule: HistoryRule) -> list[HistoryEntry]:
        """The stored history under `rule`; empty once the user was forgotten."""
        cell = self._cells.get(names.user_history_view(rule.id))
        return [] if cell is None or self._emptied else online.decode_history(cell.payload)

    def merged(self, rule: HistoryRule, history: list[HistoryEntry]) -> None:
        """Take the merged history under `rule`, and with it the vectors that still stand."""
        cell = self._cells.get(names.user_history_view(rule.id))
        if cell is None and not history and not self._emptied:
            return
        self.histories[rule.id] = history
        if cell is None or cell.payload != _payload(history):
            self._changed.add(rule.id)
        for space_id, space in self._document.embedded_spaces.items():
            vector = self._cells.get(names.user_embedding_view(space_id))
            if space.history.id != rule.id or vector is None or cell is None:
                continue
            stands = vector.as_of_us >= cell.as_of_us and (vector.payload != online.TOMBSTONE or not history)
            if stands and not self._asked and rule.id not in self._changed:
                self.vectors[space_id] = vector

    @property
    def missing(self) -> list[str]:
        """Spaces whose vector has to be computed."""
        return [
            space_id
            for space_id, space in self._document.embedded_spaces.items()
            if space.history.id in self.histories and space_id not in self.vectors
        ]

    @property
    def stale(self) -> bool:
        """Whether the row has to be written."""
        return bool(self._emptied or self._changed or self.missing or self._gone)

    @property
    def _gone(self) -> list[str]:
        """Fields of spaces and rules that the document no longer names."""
        named = {names.user_embedding_view(space) for space in self._document.embedded_spaces}
        named |= {names.user_history_view(rule) for rule in self._document.history_rules}
        return [name for name in self._cells if name not in named]

    def known_since(self, as_of_us: int | None) -> None:
        """The row also rests on something that the system knew first at `as_of_us`."""
        self.as_of_us = max(self.as_of_us, as_of_us or self.as_of_us)

    def write(self) -> RowWrite:
        """The compare-and-set write of everything that is not as stored."""
        fields: dict[str, bytes | None] = {online.AS_OF_FIELD: online.encode_time(self.as_of_us)}
        if self._emptied and self.forgotten_us is not None:
            fields |= {name: None for name in self._stored if name != online.AS_OF_FIELD}
            fields[online.FORGOTTEN_FIELD] = online.encode_time(self.forgotten_us)
        fields |= dict.fromkeys(self._gone)
        for rule_id, history in self.histories.items():
            if rule_id in self._changed or self._emptied:
                fields[names.user_history_view(rule_id)] = online.encode_cell(
                    self.as_of_us, _payload(history)
                )
        for space_id, cell in self.vectors.items():
            view = names.user_embedding_view(space_id)
            if self._cells.get(view) is not cell:
                fields[view] = online.encode_cell(cell.as_of_us, cell.payload, cell.sequence)
        return RowWrite(online.entity_key(c.USER_ID, self.user_id), self._expected, fields)


class UserRows:
    """The rows of a batch's users, merged under every rule of the document."""

    def __init__(
        self,
        document: DeploymentDocument,
        changes: Mapping[str, UserChange],
        stored: Mapping[str, Mapping[str, bytes]],
    ) -> None:
        self.rows = [
            UserRow(user_id, change, stored[user_id], document) for user_id, change in changes.items()
        ]
        new = _new_entries(self.rows)
        for rule in document.history_rules.values():
            histories = _merged(self.rows, new, rule)
            for row in self.rows:
                row.merged(rule, histories.get(row.user_id, []))


def _payload(history: Sequence[HistoryEntry]) -> bytes:
    return online.encode_history(history) if history else online.TOMBSTONE


def _new_entries(rows: Sequence[UserRow]) -> pl.DataFrame:
    records = [event.record for row in rows for event in row.interactions]
    return pl.DataFrame(
        {
            c.USER_ID: [record.user_id for record in records],
            c.EVENT_TIMESTAMP: [record.event_timestamp for record in records],
            c.EVENT_ID: [record.identified for record in records],
            c.ITEM_ID: [record.item_id for record in records],
            c.EVENT_TYPE: [record.event_type for record in records],
            c.VALUE: [record.value for record in records],
        },
        schema=_NEW_SCHEMA,
    )


def _merged(rows: Sequence[UserRow], new: pl.DataFrame, rule: HistoryRule) -> dict[str, list[HistoryEntry]]:
    """Each user's history under `rule`: stored entries and new ones that count."""
    stored = [(row.user_id, *entry) for row in rows for entry in row.entries(rule)]
    known = pl.DataFrame(stored, schema=ENTRY_SCHEMA, orient="row")
    entries = pl.concat([known, counting(new, rule).select(list(ENTRY_SCHEMA))])
    histories: dict[str, list[HistoryEntry]] = {}
    for user_id, *entry in newest_entries(entries, rule.max_length).iter_rows():
        histories.setdefault(user_id, []).append(HistoryEntry(*entry))
    return histories
