"""Tables that are refused: each error names file, column, count and first rows."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from learn_features.config import DataConfig
from learn_features.data.catalogue import Catalogue
from learn_features.data.tables import read_dataset
from learn_features.errors import DataError
from tests.data.conftest import T0, Folder

NOW_US = 1_750_000_000_000_000
FUTURE = [T0, T0, T0, datetime(2031, 1, 1, tzinfo=UTC)]
BROKEN: list[tuple[dict[str, Any] | None, dict[str, Any] | None, str]] = [
    ({"item_id": None}, None, r"items\.parquet: column 'item_id' is missing; the file has \['title'"),
    ({"title": None}, None, r"items\.parquet: column 'title' is missing"),
    (None, {"user_id": None}, r"interactions\.parquet: column 'user_id' is missing"),
    ({"item_id": ["i1", None, "i3"]}, None, r"'item_id': 1 of 3 rows are null; rows \(from 0\): 1 \(None\)"),
    (
        None,
        {"user_id": ["u", "", "", "u"]},
        r"'user_id': 2 of 4 rows are empty; rows \(from 0\): 1 \(''\), 2",
    ),
    (
        {"item_id": ["i1", "i2", "i1"]},
        None,
        r"2 of 3 rows repeat an id; rows \(from 0\): 0 \('i1'\), 2 \('i1'\)",
    ),
    (None, {"user_id": [1.0, 2.0, None, 1.0]}, r"'user_id' has type Float64; expected text or whole numbers"),
    (None, {"user_id": ["u" * 513] * 4}, r"4 of 4 rows are longer than 512 characters"),
    (
        {"price": ["9.5", "cheap", None]},
        None,
        r"'price': 1 of 3 rows are not numbers; rows \(from 0\): 1 \('cheap'",
    ),
    ({"title": [[["x"]]] * 3}, None, r"'title' has type List\(List\(String\)\); expected text"),
    (
        {"title": [" ", None, ""], "category": None},
        None,
        r"3 of 3 rows have no text at all; .*no item can be",
    ),
    (
        None,
        {"event_timestamp": FUTURE},
        r"1 of 4 rows lie in the future \(now: 2025.*3 \(2031-01-01T00:00:00",
    ),
    (None, {"event_timestamp": [T0.replace(tzinfo=None)] * 4}, r"'event_timestamp' has times without a zone"),
    (None, {"event_timestamp": ["2025-03-01T10:00:00"] * 4}, r"4 of 4 rows have no time zone"),
    (None, {"event_timestamp": ["soonZ"] * 4}, r"4 of 4 rows are not times"),
    (None, {"event_timestamp": ["yesterday"] * 4}, r"4 of 4 rows are not times"),
    (None, {"event_timestamp": [T0, None, T0, None]}, r"2 of 4 rows are null; .*: 1 \(None\), 3 \(None\)"),
    (None, {"event_timestamp": [1_740_000_000] * 4}, r"look like seconds or milliseconds"),
    (
        None,
        {"event_timestamp": pl.Series([1_740_000_000] * 4, dtype=pl.Int32)},
        r"look like seconds or milli",
    ),
    (
        None,
        {"event_timestamp": pl.Series([1_740_000_000] * 4, dtype=pl.UInt32)},
        r"look like seconds or milli",
    ),
    (None, {"event_timestamp": [True] * 4}, r"has type Boolean; expected times"),
    (None, {"event_timestamp": None}, r"neither is there; give times .* or each user's order"),
    (None, {"event_timestamp": [None] * 4}, r"is null in every row and the other is missing"),
    (None, {"event_timestamp": None, "position": [0, 1, None, 2]}, r"1 of 4 rows hold no whole number.*: 2"),
    (None, {"event_timestamp": None, "position": [0, -1, 0, 2]}, r"1 of 4 rows are negative"),
    (None, {"event_timestamp": None, "position": [0, 10**15, 2**63, 2]}, r"1 of 4 rows hold no whole number"),
    (
        None,
        {"event_timestamp": None, "position": [0, 1_740_000_000_000, 1, 2]},
        r"1 of 4 rows are above 500,000,000; .*: 1 \(1740000000000\); number each user's interactions 0, 1",
    ),
    (
        None,
        {"event_timestamp": [T0, datetime(1970, 1, 1, tzinfo=UTC)] * 2},
        r"2 of 4 rows lie before 1974",
    ),
    (None, {"event_timestamp": ["0001-01-01T00:00:00Z"] * 4}, r"4 of 4 rows lie before 1974"),
    (None, {"event_timestamp": [-(2**62)] * 4}, r"4 of 4 rows lie before 1974"),
    (
        None,
        {"event_timestamp": pl.Series([10**18] * 4).cast(pl.Datetime("us", "UTC"))},  # nanoseconds, in truth
        r"4 of 4 rows lie outside the years 1 to 9999; .*: 0 \(1000000000000000000\)",
    ),
    (None, {"event_timestamp": [2**63 + 5] * 4}, r"4 of 4 rows are beyond all times"),
    (None, {"event_timestamp": ["1740000000"] * 4}, r"4 of 4 rows lie before 1974.*: 0 \('1740000000'\)"),
    (None, {"event_timestamp": ["99999999999999999999999"] * 4}, r"4 of 4 rows are beyond all times"),
    (None, {"event_timestamp": [*["9" * 45] * 3, "1"]}, r"3 of 4 rows are beyond all times"),
    (
        None,
        {"event_timestamp": pl.Series([9 * 10**18] * 4).cast(pl.Datetime("us", "UTC"))},
        r"4 of 4 rows lie outside the years 1 to 9999; .*: 0 \(9000000000000000000\)",
    ),
    (
        None,  # what stands for "never" in many a database, where the day begins later
        {
            "event_timestamp": pl.Series([-62_135_596_800_000_000] * 4).cast(
                pl.Datetime("us", "America/New_York")
            )
        },
        r"4 of 4 rows lie outside the years 1 to 9999; .*: 0 \(-62135596800000000\)",
    ),
    (
        {"category": pl.Series([10**9, 0, 1]).cast(pl.Int32).cast(pl.Date)},
        None,
        r"'category': 1 of 3 rows lie outside the years 1 to 9999; .*: 0 \(1000000000\)",
    ),
    (None, {"event_timestamp": ["2025-03-01 10:00:00"] * 4}, r"4 of 4 rows have no time zone"),
    (None, {"event_timestamp": ["2025-03-01"] * 4}, r"4 of 4 rows have no time zone"),
    (
        None,  # times 1,000 it would wrap to a day in 2025
        {"event_timestamp": pl.Series([18_448_484_073_709_551] * 4).cast(pl.Datetime("ms", "UTC"))},
        r"4 of 4 rows lie outside the years 1 to 9999; .*: 0 \(18448484073709551\)",
    ),
    (
        None,
        {"event_timestamp": pl.Series([2**62] * 4).cast(pl.Duration("ms"))},
        r"has type Duration.*; expected times .*: \[4611686018427387904",
    ),
    (None, {"event_timestamp": None, "position": [0.0, 1.5, 0, 2]}, r"expected whole numbers"),
    (None, {"event_id": ["b1", "b1", "b2", "b3"]}, r"2 of 4 rows share an event id .*basket"),
    (
        None,
        {"item_id": ["i1", "x", "x", "y"]},
        r"3 of 4 interactions .* 2 items .*'x' \(2\), 'y' \(1\)",
    ),
    ({k: [] for k in ("item_id", "title", "category", "price")}, None, r"items\.parquet: has no rows"),
    (
        {"item_id": ["1", "2", "3"]},
        None,
        r"100\.0%\) .* Those of the items table are '1', '2', '3' …: are ids written alike in both\?",
    ),
]


@pytest.mark.parametrize(("items", "log", "message"), BROKEN)
def test_broken_tables_are_refused_with_the_place(
    folder: Folder, items: dict[str, Any] | None, log: dict[str, Any] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message) as error:
        read_dataset(folder(items, log), DataConfig(), now_us=NOW_US)
    assert str(error.value).startswith(str(folder().parent))


def test_a_table_in_two_formats_is_refused(folder: Folder) -> None:
    path = folder()
    (path / "items.csv").write_text("item_id,title\ni1,Green tent\n")
    both = r"holds items\.parquet and items\.csv, which may differ"
    with pytest.raises(DataError, match=both):
        read_dataset(path, DataConfig(), now_us=NOW_US)
    with pytest.raises(DataError, match=both):
        Catalogue(path)
