"""The count of lost events, against rows that lack known ones."""

from pathlib import Path

import polars as pl
import pytest

from learn_features.contracts import columns as c
from learn_features.contracts import names, online, times
from learn_features.contracts.events import InteractionRecord
from learn_features.contracts.history import HistoryEntry, HistoryRule
from learn_features.demo.ledger import Ledger
from learn_features.features.row_store import CellPut
from learn_features.features.sqlite_rows import SqliteRowStore

RULE = HistoryRule(max_length=3, event_types=("click",))


def event(user_id: str, moment: int, event_type: str = "click") -> InteractionRecord:
    return InteractionRecord(
        user_id=user_id,
        item_id=f"i{moment}",
        event_timestamp=times.BASE_DATE_US + moment,
        event_id=f"e{moment}",
        event_type=event_type,
    )


def entry(moment: int) -> HistoryEntry:
    return HistoryEntry(times.BASE_DATE_US + moment, f"e{moment}", f"i{moment}")


@pytest.fixture
def ledger() -> Ledger:
    before = [event("ann", 10), event("ann", 20), event("ann", 25, "view"), event("bob", 10)]
    frame = pl.DataFrame([record.model_dump() for record in before]).with_columns(
        pl.from_epoch(c.EVENT_TIMESTAMP, "us").dt.replace_time_zone("UTC").cast(pl.Datetime("us", "UTC"))
    )
    return Ledger(frame)


def stored(tmp_path: Path, **histories: list[int]) -> SqliteRowStore:
    rows = SqliteRowStore(str(tmp_path / "online.db"))
    for user_id, moments in histories.items():
        cell = online.encode_cell(times.BASE_DATE_US, online.encode_history([entry(m) for m in moments]))
        rows.put_newer(
            [CellPut(online.entity_key(c.USER_ID, user_id), {names.user_history_view(RULE.id): cell})]
        )
    return rows


def test_nothing_is_missing_where_histories_are_complete(tmp_path: Path, ledger: Ledger) -> None:
    ledger.add([event("ann", 30), event("ann", 31), event("cyd", 40)])
    assert ledger.missing(stored(tmp_path, ann=[20, 30, 31], cyd=[40]), RULE) == []


def test_missing_events_are_named(tmp_path: Path, ledger: Ledger) -> None:
    sent = [event("ann", 30), event("ann", 31), event("cyd", 40)]
    ledger.add(sent)
    assert ledger.missing(stored(tmp_path, ann=[10, 20, 31]), RULE) == [sent[0], sent[2]]
    assert ledger.wait_until_complete(stored(tmp_path, ann=[10, 20, 31]), RULE, 0.0) == 2


def test_only_the_newest_that_count_are_expected(tmp_path: Path, ledger: Ledger) -> None:
    """Late events that fall off the end, and types that the rule does not count, are not lost."""
    ledger.add(
        [event("ann", 5), event("ann", 50, "view"), *(event("bob", moment) for moment in (60, 61, 62))]
    )
    assert ledger.missing(stored(tmp_path, ann=[10, 20, 15], bob=[60, 61, 62]), RULE) == [event("ann", 5)]
    ledger.add([event("ann", 70)])
    later = stored(tmp_path / "later", ann=[10, 20, 70], bob=[60, 61, 62])
    assert ledger.missing(later, RULE) == []
