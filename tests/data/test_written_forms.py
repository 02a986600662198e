"""How values may be written: times of many origins, lists, ids in what is said of them."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from learn_features.config import DataConfig
from learn_features.contracts.attributes import joined, list_text
from learn_features.data.tables import read_dataset
from tests.data.conftest import Folder

NOW_US = 1_750_000_000_000_000


def read(folder: Path, **config: Any) -> Any:
    return read_dataset(folder, DataConfig(**config), now_us=NOW_US)


def test_whole_microseconds_are_times_as_text_too(folder: Folder) -> None:
    numbers = [1_740_000_000_000_000 + step for step in range(4)]
    as_numbers = read_dataset(folder(None, {"event_timestamp": numbers}), DataConfig(), now_us=NOW_US)
    texts = [f" {number}" for number in numbers]
    as_texts = read_dataset(folder(None, {"event_timestamp": texts}), DataConfig(), now_us=NOW_US)
    assert as_texts.interactions.equals(as_numbers.interactions)


@pytest.mark.parametrize(
    "written",
    [
        "2025-03-01 10:00:00.25+00", "2025-03-01 10:00:00.25 UTC", "2025-03-01T11:00:00.25+01",
        "2025-03-01T10:00:00.25Z", " 2025-03-01 11:00:00.25+0100 ", "2025-03-01 05:30:00.25 -04:30",
    ],
)  # fmt: skip
def test_times_are_read_as_databases_write_them(folder: Folder, written: str) -> None:
    dataset = read(folder(None, {"event_timestamp": [written] * 4}))
    moment = datetime(2025, 3, 1, 10, 0, 0, 250_000, tzinfo=UTC)
    assert dataset.interactions["event_timestamp"].unique().to_list() == [moment]


@pytest.mark.parametrize(
    "written",
    ["2025-03-01T10:00z", "2025-03-01 12:00+02", "2025-03-01 05:30 -0430", "2025-03-01 10:00 UTC"],
)
def test_times_may_leave_seconds_out(folder: Folder, written: str) -> None:
    dataset = read(folder(None, {"event_timestamp": [written] * 4}))
    moment = datetime(2025, 3, 1, 10, tzinfo=UTC)
    assert dataset.interactions["event_timestamp"].unique().to_list() == [moment]


def test_updates_without_a_time_need_no_zone(folder: Folder) -> None:
    never = pl.Series([None] * 3, dtype=pl.Datetime("us"))
    assert read(folder({"updated_at": never})).items["updated_at"].null_count() == 3


def test_lists_say_what_is_in_them(folder: Folder) -> None:
    """And as an event would."""
    lists = {
        "keywords": [[None, "", "a"], [" ", "b", "c"], [None]],
        "sizes": [[1.5, float("nan")], [2.0], []],
    }
    items = read(folder(lists), item_attributes=("sizes",)).items
    assert items["keywords"].to_list() == ["a", "b, c", None]
    assert items["attributes"].to_list() == ["sizes 1.5", "sizes 2.0", None]
    for row in range(3):
        event = {name: values[row] for name, values in lists.items()}
        assert (list_text(event["keywords"]) or None) == items["keywords"][row]
        assert joined(None, [("sizes", event["sizes"])]) == items["attributes"][row]


def test_ids_in_warnings_are_quoted_and_cut(folder: Folder) -> None:
    ids = ["a\nb\x1b[31m", "x" * 500, "c"]
    items = {"item_id": ids, "title": [None, None, "c"], "category": None, "price": None}
    (warning,) = [text for text in read(folder(items, {"item_id": ["c"] * 4})).warnings if "no text" in text]
    assert "first: 'a\\nb\\x1b[31m', 'xxx" in warning
    assert "x" * 41 not in warning


def test_days_may_be_the_first_and_the_last_of_all(folder: Folder) -> None:
    """As databases write that there is none."""
    days = {"released": [date(1, 1, 1), date(9999, 12, 31), None]}
    items = read(folder(days), item_attributes=("released",)).items
    assert items["attributes"].to_list() == ["released 0001-01-01", "released 9999-12-31", None]
