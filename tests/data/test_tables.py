"""Reading: what is wrong is named with file, column, count and first rows; what is right comes out whole."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from learn_features.config import DataConfig
from learn_features.contracts.events import InteractionRecord
from learn_features.data.catalogue import Catalogue
from learn_features.data.tables import read_dataset, write_dataset
from learn_features.errors import DataError
from tests.data.conftest import LOG, T0, Folder

NOW_US = 1_750_000_000_000_000


def read(folder: Path, **config: Any) -> Any:
    return read_dataset(folder, DataConfig(**config), now_us=NOW_US)


def test_reads_all_contract_columns(folder: Folder) -> None:
    dataset = read(folder())
    assert dataset.items.columns == [
        "item_id", "title", "category", "brand", "price", "keywords", "attributes", "description",
        "updated_at",
    ]  # fmt: skip
    assert dataset.interactions.columns == [
        "user_id", "item_id", "event_timestamp", "event_id", "event_type", "value",
    ]  # fmt: skip
    assert dataset.items.schema["updated_at"] == pl.Datetime("us", "UTC")
    assert dataset.interactions.schema["event_timestamp"] == pl.Datetime("us", "UTC")
    assert dataset.has_times
    assert dataset.warnings == []
    assert dataset.interactions["item_id"].to_list() == ["i1", "i2", "i3", "i1"]


def test_derived_event_ids_are_the_streams(folder: Folder) -> None:
    dataset = read(folder(log={"event_type": ["view", "buy", None, "view"]}))
    for row in dataset.interactions.iter_rows(named=True):
        fields = {k: v for k, v in row.items() if k != "event_id"}
        assert row["event_id"] == InteractionRecord(**fields).identified


def test_given_event_ids_stay_and_gaps_are_filled(folder: Folder) -> None:
    dataset = read(folder(log={"event_id": ["a", None, "", "b"]}))
    ids = dataset.interactions["event_id"].to_list()
    assert ids[0] == "a"
    assert ids[3] == "b"
    assert len(ids[1]) == len(ids[2]) == 32


def test_repeats_count_once_and_the_highest_value_stays(folder: Folder) -> None:
    log = {k: [v[0], v[0], v[0], v[1]] for k, v in LOG.items()}
    dataset = read(folder(log={**log, "value": [None, 5.0, 2.0, 1.0]}))
    assert dataset.interactions["value"].to_list() == [5.0, 1.0]
    assert "2 of 4 rows repeat" in dataset.warnings[0]


def test_a_microsecond_apart_is_two_interactions(folder: Folder) -> None:
    log = {k: [v[0], v[0]] for k, v in LOG.items()}
    log["event_timestamp"] = [T0, T0 + timedelta(microseconds=1)]
    assert read(folder(log=log)).interactions.height == 2


def test_order_of_ties_is_the_contracts(folder: Folder) -> None:
    log = {"user_id": ["u"] * 3, "item_id": ["i1", "i2", "i3"], "event_timestamp": [T0] * 3}
    dataset = read(folder(log={**log, "event_id": ["c", "a", "b"]}))
    assert dataset.interactions["event_id"].to_list() == ["a", "b", "c"]


@pytest.mark.parametrize("timestamps", [None, [None] * 4])
def test_order_only(folder: Folder, timestamps: list[None] | None) -> None:
    dataset = read(folder(log={"event_timestamp": timestamps, "position": [0, 3, 0, 1]}))
    assert not dataset.has_times
    assert dataset.interactions["event_timestamp"].to_list()[:2] == [
        datetime(2000, 1, 1, tzinfo=UTC),
        datetime(2000, 1, 1, 0, 0, 3, tzinfo=UTC),
    ]


def test_whole_number_ids_meet_text_ids(folder: Folder) -> None:
    dataset = read(folder({"item_id": [1, 2, 3]}, {"item_id": ["1", "2", "3", "1"], "user_id": [7, 7, 8, 8]}))
    assert dataset.items["item_id"].to_list() == ["1", "2", "3"]
    assert dataset.interactions["user_id"].to_list() == ["7", "7", "8", "8"]
    assert dataset.warnings == []


def test_column_mapping(folder: Folder) -> None:
    path = folder(
        {"title": None, "name": ["a", "b", "c"]}, {"event_timestamp": None, "at": LOG["event_timestamp"]}
    )
    dataset = read(path, item_columns={"title": "name"}, interaction_columns={"event_timestamp": "at"})
    assert dataset.items["title"].to_list() == ["a", "b", "c"]
    with pytest.raises(DataError, match=r"'naem', mapped to title, is missing.*'name'"):
        read(path, item_columns={"title": "naem"})
    with pytest.raises(DataError, match=r"mapping names \['titel'\]"):
        read(path, item_columns={"titel": "name"})


def test_lists_of_keywords_are_joined_and_blanks_are_null(folder: Folder) -> None:
    dataset = read(folder({"keywords": [["a", "b"], [], None], "brand": [" ", "", "x"]}))
    assert dataset.items["keywords"].to_list() == ["a, b", None, None]
    assert dataset.items["brand"].to_list() == [None, None, "x"]


def test_columns_that_describe_an_item_become_attributes(folder: Folder) -> None:
    path = folder(
        {
            "attributes": ["waterproof", None, None],
            "release_year": [2013.0, None, float("nan")],
            "tags": [["a", "b"], ["c"], []],
            "color": ["red", "N/A", " "],
            "size": [9.5, 10.0, None],
            "style": [{"x": 1}, {"x": 2}, None],
            "stock": [1, 2, 3],
        }
    )
    dataset = read(path)
    assert dataset.items["attributes"].to_list() == [
        "waterproof; release year 2013; tags a, b; color red; size 9.5",
        "tags c; size 10",
        None,
    ]
    assert any("not read: style, stock;" in warning for warning in dataset.warnings)
    chosen = read(path, item_attributes=("stock", "stok"))
    assert chosen.items["attributes"].to_list() == ["waterproof; stock 1", "stock 2", "stock 3"]
    assert any("has no stok, named in data.item_attributes" in warning for warning in chosen.warnings)
    blocks = pl.concat(Catalogue(path).blocks())
    assert blocks["attributes"].to_list() == dataset.items["attributes"].to_list()


def test_times_that_are_null_throughout_are_said(folder: Folder) -> None:
    dataset = read(folder(log={"event_timestamp": [None] * 4, "position": [0, 1, 2, 0]}))
    assert not dataset.has_times
    assert any("'event_timestamp' is null throughout: there is only an order" in w for w in dataset.warnings)


def test_numbers_say_the_same_in_every_format(tmp_path: Path) -> None:
    """CSV tells no numbers from text, and gaps turn whole ones into decimals; whatever the other rows say."""
    items = pl.DataFrame(
        {
            "item_id": ["i1", "i2", "i3"],
            "title": ["1.0", "One", "Two"],
            "category": [1.0, None, 2.0],
            "year": [2001.0, 1999.5, None],
        }
    )
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["i1"], "position": [0]})
    read_items = []
    for suffix, write in (("parquet", "write_parquet"), ("jsonl", "write_ndjson"), ("csv", "write_csv")):
        path = tmp_path / suffix
        path.mkdir()
        getattr(items, write)(path / f"items.{suffix}")
        log.write_parquet(path / "interactions.parquet")
        read_items.append(read_dataset(path).items)
    assert all(each.equals(read_items[0]) for each in read_items)
    assert read_items[0]["title"].to_list() == ["1.0", "One", "Two"]
    assert read_items[0]["category"].to_list() == ["1", None, "2"]
    assert read_items[0]["attributes"].to_list() == ["year 2001", "year 1999.5", None]
    mixed = items.with_columns(pl.Series("category", ["1.0", "outdoor", "2.50"]))
    mixed.write_csv(tmp_path / "csv" / "items.csv")
    assert read_dataset(tmp_path / "csv").items["category"].to_list() == ["1", "outdoor", "2.50"]


@pytest.mark.parametrize("names", [("year", "year"), ("brand",)])
def test_attributes_name_further_columns_once(names: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="name further columns, each once"):
        DataConfig(item_attributes=names)


def test_a_mapped_column_is_no_attribute_as_well(folder: Folder) -> None:
    dataset = read(folder({"genre": ["a", "b", "c"]}), item_columns={"category": "genre"})
    assert dataset.items["category"].to_list() == ["a", "b", "c"]
    assert dataset.items["attributes"].null_count() == 3


def test_few_unknown_items_are_a_warning_and_stay(folder: Folder) -> None:
    path = folder(log={"item_id": ["i1", "new", "i3", "i1"]})
    with pytest.raises(DataError, match=r"raise data\.max_unknown_item_share"):
        read(path)
    dataset = read(path, max_unknown_item_share=0.25)
    assert "1 of 4 interactions (25.0%)" in dataset.warnings[0]
    assert "new" in dataset.interactions["item_id"].to_list()


def test_an_item_without_text_is_a_warning(folder: Folder) -> None:
    dataset = read(folder({"title": ["a", None, "c"]}))
    assert "1 of 3 items have no text" in dataset.warnings[0]
    assert "i2" in dataset.warnings[0]


def test_an_item_without_title_is_a_warning(folder: Folder) -> None:
    dataset = read(folder({"title": ["a", None, "c"], "category": ["x", "y", "z"]}))
    assert "'title': 1 of 3 rows are empty; rows (from 0): 1 (None)" in dataset.warnings[0]


def test_ids_that_are_not_utf_8_are_refused_and_texts_warned_of(tmp_path: Path) -> None:
    times = "2025-03-01T10:00:00Z"
    log = f"user_id,item_id,event_timestamp\njosé,a,{times}\njosè,a,{times}\n"
    (tmp_path / "items.csv").write_bytes("item_id,title\na,thé vert\n".encode("latin-1"))
    (tmp_path / "interactions.csv").write_bytes(log.encode())
    warning = read(tmp_path).warnings[0]
    assert "items.csv: column 'title': 1 of 1 rows have bytes that are not UTF-8" in warning
    (tmp_path / "interactions.csv").write_bytes(log.encode("latin-1"))
    with pytest.raises(DataError, match=r"interactions\.csv: column 'user_id': 2 of 2 rows have bytes that"):
        read(tmp_path)


def test_five_minutes_ahead_are_tolerated(folder: Folder) -> None:
    ahead = datetime.fromtimestamp(NOW_US / 1e6, UTC) + timedelta(minutes=5)
    read(folder(log={"event_timestamp": [T0, T0, T0, ahead]}))
    with pytest.raises(DataError, match="future"):
        read(folder(log={"event_timestamp": [T0, T0, T0, ahead + timedelta(microseconds=1)]}))


def test_missing_and_unreadable_files(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no items\.parquet or items\.csv"):
        read(tmp_path)
    path = folder()
    whole = (path / "interactions.parquet").read_bytes()
    for broken in (b"", b"not parquet", whole[: len(whole) // 2]):
        (path / "interactions.parquet").write_bytes(broken)
        with pytest.raises(DataError, match=r"interactions\.parquet: cannot be read as parquet"):
            read(path)


def test_the_broken_line_is_named(folder: Folder) -> None:
    path = folder()
    (path / "items.parquet").unlink()
    (path / "items.jsonl").write_text('{"item_id": "a", "title": "b"}\n\n{"item_id": "c", "title": \n')
    with pytest.raises(DataError, match=r"items\.jsonl: cannot be read as jsonl \(line 3: Expecting value"):
        read(path)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("c,d,e", r"line 4 has 3 fields, the header 2"),
        ('c,"d', r"line 4 opens a quote that nothing closes"),
        (f'c,{"d" * 200_000}\n"e",a "quoted" word\nf,g,h', r"line 6 has 3 fields, the header 2"),
    ],
)
def test_a_broken_row_of_csv_is_named(tmp_path: Path, row: str, reason: str) -> None:
    (tmp_path / "items.csv").write_text(f'item_id,title\na,"two\nlines"\n{row}\nf,g\n')
    (tmp_path / "interactions.csv").write_text("user_id,item_id,position\nu,a,0\n")
    with pytest.raises(DataError, match=rf"items\.csv: cannot be read as csv \({reason}"):
        read_dataset(tmp_path)


def test_csv_and_jsonl_keep_leading_zeros(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title,price\n0042,A tent,9.50\n0043,A mug,\n")
    lines = (
        '{"user_id": 1, "item_id": "0042", "event_timestamp": "2025-03-01T10:00:00+02:00"}',
        '{"user_id": 1, "item_id": "0043", "event_timestamp": "2025-03-01 09:00:00.000001Z"}',
    )
    (tmp_path / "interactions.jsonl").write_text("\n".join(lines))
    dataset = read(tmp_path)
    assert dataset.items["item_id"].to_list() == ["0042", "0043"]
    assert dataset.items["price"].to_list() == [9.5, None]
    assert dataset.interactions["event_timestamp"].to_list() == [
        datetime(2025, 3, 1, 8, tzinfo=UTC),
        datetime(2025, 3, 1, 9, 0, 0, 1, tzinfo=UTC),
    ]


def test_written_data_set_reads_back(folder: Folder, tmp_path: Path) -> None:
    dataset = read(folder())
    write_dataset(tmp_path / "copy", dataset.items, dataset.interactions)
    again = read(tmp_path / "copy")
    assert again.items.equals(dataset.items)
    assert again.interactions.equals(dataset.interactions)
    assert sorted(p.name for p in (tmp_path / "copy").iterdir()) == ["interactions.parquet", "items.parquet"]


def test_items_that_say_the_same_are_counted(folder: Folder) -> None:
    same = {"title": ["Red tent", "Lamp", "Red tent"], "category": ["Home"] * 3, "price": [4.5, None, 4.5]}
    warnings = read_dataset(folder(same), DataConfig(), now_us=NOW_US).warnings
    assert any("2 of 3 items say the very same as another one; " in warning for warning in warnings)
    same["price"] = [4.5, None, 4.6]
    assert read_dataset(folder(same), DataConfig(), now_us=NOW_US).warnings == []
