from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import names, offline, times
from learn_features.data.tables import Dataset
from learn_features.errors import ConfigError, DataError
from learn_features.features.dataset_import import import_dataset
from learn_features.features.history_states import cutoffs, popularity_rows
from learn_features.features.offline_log import OfflineLog, schema_of

VIEW = names.user_embedding_view("s1")


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2024, 3, day, hour, tzinfo=UTC)


def event(user: str, item: str, event_id: str, when: datetime, as_of: datetime) -> dict[str, object]:
    return {
        c.USER_ID: user,
        c.ITEM_ID: item,
        c.EVENT_TIMESTAMP: when,
        c.EVENT_ID: event_id,
        c.EVENT_TYPE: "click",
        c.VALUE: None,
        c.AS_OF: as_of,
    }


def append(log: OfflineLog, *events: dict[str, object]) -> None:
    log.append(offline.INTERACTIONS, pa.Table.from_pylist(list(events), offline.INTERACTION_SCHEMA))


def test_the_first_file_is_typed_and_empty_and_appends_follow_in_order(tmp_path: Path) -> None:
    log = OfflineLog(str(tmp_path))
    for number in range(3):
        row = {c.USER_ID: "ada", names.USER_VECTOR: [float(number)], c.AS_OF: at(1)}
        log.append(VIEW, pa.Table.from_pylist([row]))
    files = sorted(path.name for path in (tmp_path / VIEW).iterdir())
    assert files[0] == offline.EMPTY_FILE
    assert len(files) == 4
    assert pq.read_schema(tmp_path / VIEW / files[0]).equals(offline.USER_EMBEDDING_SCHEMA)
    assert pq.read_table(tmp_path / VIEW / files[0]).num_rows == 0
    assert all(pq.read_schema(tmp_path / VIEW / f).equals(offline.USER_EMBEDDING_SCHEMA) for f in files)
    assert log.embeddings(VIEW)[names.USER_VECTOR].to_list() == [[2.0]], "the last appended counts"


def test_an_event_counts_once_as_it_was_known_first(tmp_path: Path) -> None:
    log = OfflineLog(str(tmp_path))
    append(log, event("ada", "a", "e1", at(1), at(5)), event("ada", "b", "e2", at(2), at(2)))
    append(log, event("ada", "a", "e1", at(1), at(1)))
    got = log.interactions().sort(c.EVENT_ID)
    assert got[c.EVENT_ID].to_list() == ["e1", "e2"]
    assert got[c.AS_OF].to_list() == [at(1), at(2)]


def test_an_event_is_the_same_only_if_all_of_it_is(tmp_path: Path) -> None:
    """As in the stream, where a history is a set of whole entries that count."""
    log = OfflineLog(str(tmp_path))
    order = [event("ada", item, "order-1", at(1), at(1)) for item in "ab"]
    viewed = event("bob", "a", "e1", at(1), at(1)) | {c.VALUE: 0.0}
    append(log, *order, viewed, viewed | {c.VALUE: 1.0, c.AS_OF: at(2)}, order[0] | {c.AS_OF: at(3)})
    got = log.interactions().select(c.USER_ID, c.ITEM_ID, c.VALUE, c.AS_OF).rows()
    assert set(got) == {
        ("ada", "a", None, at(1)),
        ("ada", "b", None, at(1)),
        ("bob", "a", 0.0, at(1)),
        ("bob", "a", 1.0, at(2)),
    }
    assert len(got) == 4
    popular = popularity_rows(log.interactions(), [times.to_us(at(3))]).select(c.ITEM_ID, names.POPULARITY)
    assert set(popular.rows()) == {("a", 2), ("b", 1)}, "sent again with another value is one interaction"


def test_an_event_sent_again_after_its_user_was_forgotten_counts(tmp_path: Path) -> None:
    log = OfflineLog(str(tmp_path))
    append(log, *(event("ada", "a", "e1", at(1), at(day)) for day in (1, 3)))
    log.append(offline.FORGOTTEN, pa.Table.from_pylist([{c.USER_ID: "ada", c.AS_OF: at(2)}]))
    assert log.interactions()[c.AS_OF].to_list() == [at(3)]


def test_whoever_was_forgotten_is_left_out_up_to_that_time(tmp_path: Path) -> None:
    log = OfflineLog(str(tmp_path))
    append(log, *(event(user, "a", f"{user}{day}", at(day), at(day)) for user in "xy" for day in (1, 2, 3)))
    log.append(offline.FORGOTTEN, pa.Table.from_pylist([{c.USER_ID: "x", c.AS_OF: at(2)}]))
    assert sorted(log.interactions()[c.EVENT_ID]) == ["x3", "y1", "y2", "y3"]


def test_the_last_known_item_counts_and_deleted_ones_are_hidden(tmp_path: Path) -> None:
    log = OfflineLog(str(tmp_path))
    empty = dict.fromkeys(offline.ITEM_SCHEMA.names)
    for item, title, deleted, day in (("a", "new", False, 3), ("a", "old", False, 1), ("b", None, True, 2)):
        row = {**empty, c.ITEM_ID: item, c.TITLE: title, c.DELETED: deleted, c.AS_OF: at(day)}
        log.append(offline.ITEMS, pa.Table.from_pylist([row], offline.ITEM_SCHEMA))
    assert log.items().select(c.ITEM_ID, c.TITLE).rows() == [("a", "new")]
    assert sorted(log.items(deleted=True)[c.ITEM_ID]) == ["a", "b"]


def test_an_empty_log_has_typed_empty_frames(tmp_path: Path) -> None:
    log = OfflineLog(str(tmp_path / "none"))
    assert log.interactions().schema[c.AS_OF] == pl.Datetime("us", "UTC")
    assert log.items().height == log.embeddings(VIEW).height == 0


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    log = OfflineLog(str(tmp_path))
    with pytest.raises(DataError, match="columns are"):
        log.append(VIEW, pa.table({c.USER_ID: ["ada"]}))
    nulls = pa.table({c.USER_ID: [None], names.USER_VECTOR: [[1.0]], c.AS_OF: [at(1)]})
    with pytest.raises(DataError, match="do not fit"):
        log.append(VIEW, nulls)
    with pytest.raises(DataError, match="no data set nonsense"):
        schema_of("nonsense")
    with pytest.raises(ConfigError, match="s3://"):
        OfflineLog("s3://bucket/offline")
    (tmp_path / VIEW).mkdir(exist_ok=True)
    (tmp_path / VIEW / "1-broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=VIEW):
        log.embeddings(VIEW)


def test_importing_twice_adds_nothing_and_sets_as_of(tmp_path: Path) -> None:
    items = pl.DataFrame({c.ITEM_ID: ["a", "b"], c.TITLE: ["A", "B"]}).with_columns(
        *(
            pl.lit(None, pl.String).alias(n)
            for n in (c.CATEGORY, c.BRAND, c.KEYWORDS, c.ATTRIBUTES, c.DESCRIPTION)
        ),
        pl.lit(None, pl.Float64).alias(c.PRICE),
        pl.Series(c.UPDATED_AT, [at(4), None], pl.Datetime("us", "UTC")),
    )
    events = pl.DataFrame(
        pa.Table.from_pylist(
            [event("u", "a", "e1", at(1), at(1)), event("u", "b", "e2", at(2), at(2))],
            offline.INTERACTION_SCHEMA,
        )
    ).drop(c.AS_OF)
    config = Config(state=str(tmp_path))
    dataset = Dataset(items, events, has_times=True)
    assert import_dataset(config, dataset) == (2, 2)
    assert import_dataset(config, dataset) == (0, 0)
    log = OfflineLog(config.offline)
    assert dict(log.items().select(c.ITEM_ID, c.AS_OF).iter_rows()) == {"a": at(4), "b": times.BASE_DATE}
    assert dict(log.interactions().select(c.EVENT_ID, c.AS_OF).iter_rows()) == {"e1": at(1), "e2": at(2)}
    changed = items.with_columns(pl.lit("A2").alias(c.TITLE), pl.lit(at(6)).alias(c.UPDATED_AT))
    assert import_dataset(config, Dataset(changed, events, has_times=True)) == (0, 2)
    assert log.items()[c.TITLE].to_list() == ["A2", "A2"]


def test_popularity_is_the_count_known_by_each_day() -> None:
    rows = [
        event("u", i, f"e{n}", at(d), at(d))
        for n, (i, d) in enumerate([("a", 1), ("a", 2), ("b", 2), ("a", 3)])
    ]
    events = pl.DataFrame(pa.Table.from_pylist(rows, offline.INTERACTION_SCHEMA))
    looks = cutoffs(times.to_us(at(3)), 3)
    assert looks == [times.to_us(at(3)), times.to_us(at(3, 0)), times.to_us(at(2, 0))]
    got = popularity_rows(events, looks).sort(c.ITEM_ID, c.AS_OF).rows()
    assert got == [("a", 1, at(1)), ("a", 2, at(2)), ("a", 3, at(3)), ("b", 1, at(2))]
