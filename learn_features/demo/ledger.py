"""Every interaction the demo has sent, and an independent count of those the online store lacks.

Plain Python over the sent list and the interactions table: it shares formats with the consumers, and no
code.
"""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.contracts.events import InteractionRecord
from learn_features.contracts.history import HistoryRule
from learn_features.features.row_store import RowStore

Entry = tuple[int, str, str]


@dataclass
class Ledger:
    """`interactions` is what was there before the first sent event."""

    interactions: pl.DataFrame
    sent: list[InteractionRecord] = field(default_factory=list)

    def add(self, records: Iterable[InteractionRecord]) -> None:
        self.sent.extend(records)

    def missing(self, rows: RowStore, rule: HistoryRule) -> list[InteractionRecord]:
        """Sent events that belong into a history by now and are not in it."""
        by_user: dict[str, list[InteractionRecord]] = defaultdict(list)
        for record in self.sent:
            by_user[record.user_id].append(record)
        users = sorted(by_user)
        entries = self._before(users, rule)
        view = names.user_history_view(rule.id)
        keys = [online.entity_key(c.USER_ID, user) for user in users]
        missing = []
        for user, [cell] in zip(users, rows.read_fields(keys, [view]), strict=True):
            held = set() if cell is None else _held(cell)
            new = {
                _entry(record): record
                for record in by_user[user]
                if rule.counts(record.event_type, record.value)
            }
            newest = sorted(entries[user] | set(new))[-rule.max_length :]
            missing += [new[entry] for entry in newest if entry in new and entry not in held]
        return missing

    def wait_until_complete(self, rows: RowStore, rule: HistoryRule, within_seconds: float) -> int:
        """Wait until nothing is missing; what still is when the time is over: lost events."""
        deadline = time.monotonic() + within_seconds
        while missing := self.missing(rows, rule):
            if time.monotonic() > deadline:
                return len(missing)
            time.sleep(0.3)
        return 0

    def _before(self, users: list[str], rule: HistoryRule) -> dict[str, set[Entry]]:
        entries: dict[str, set[Entry]] = defaultdict(set)
        columns = (c.USER_ID, c.EVENT_TIMESTAMP, c.EVENT_ID, c.ITEM_ID, c.EVENT_TYPE, c.VALUE)
        mine = self.interactions.filter(pl.col(c.USER_ID).is_in(users)).select(columns)
        mine = mine.with_columns(pl.col(c.EVENT_TIMESTAMP).to_physical())
        for user, moment, event_id, item_id, event_type, value in mine.iter_rows():
            if rule.counts(event_type, value):
                entries[user].add((moment, event_id, item_id))
        return entries


def _entry(record: InteractionRecord) -> Entry:
    return (record.event_timestamp, record.identified, record.item_id)


def _held(cell: bytes) -> set[Entry]:
    entries = online.decode_history(online.decode_cell(cell).payload)
    return {(moment, event_id, item_id) for moment, event_id, item_id in entries}
