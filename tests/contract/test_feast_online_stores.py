"""One suite over both Feast online stores, through Feast's own API."""

import textwrap
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Float32, Int64, String
from feast.value_type import ValueType

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import names, online, times
from learn_features.contracts.deployment import DeploymentDocument, RankerVersion, Space, SpaceState
from learn_features.contracts.history import HistoryEntry, HistoryRule
from learn_features.contracts.manifest import EncoderSpec
from learn_features.features.declarations import declare
from learn_features.features.feast_store import open_feature_store
from learn_features.features.history_merge import HistoryUpdate, merge_histories
from learn_features.features.materialise import materialise
from learn_features.features.offline_log import OfflineLog
from learn_features.features.row_store import RowWrite
from learn_features.features.rows import open_row_store
from learn_features.features.store_file import REDIS_STORE, SQLITE_STORE
from learn_features.release.deployment import DeploymentStore

SPACE = "s0123456789ab"
RULE = HistoryRule(max_length=3)
USERS, ITEMS = names.user_embedding_view(SPACE), names.item_embedding_view(SPACE)
HISTORY = names.user_history_view(RULE.id)
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def at(second: int) -> datetime:
    return NOON + timedelta(seconds=second)


@pytest.fixture(params=["sqlite", "redis"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """A declared system with one filling space of three-number vectors."""
    if request.param == "sqlite":
        place = f"{{type: {SQLITE_STORE}, path: online.db}}"
    else:
        place = f"{{type: {REDIS_STORE}, url: '{request.getfixturevalue('redis_url')}'}}"
    file = tmp_path / "feature_store.yaml"
    file.write_text(
        textwrap.dedent(f"""
        project: p{uuid.uuid4().hex}
        provider: local
        registry: {{registry_type: sql, path: "sqlite:///registry.db", cache_ttl_seconds: 2, cache_mode: sync,
                    serve_features_while_materializing: true}}
        online_store: {place}
        offline_store: {{type: duckdb}}
        entity_key_serialization_version: 3
        """)
    )
    made = Config(state=str(tmp_path / "state"), feature_store=file)
    space = Space(
        state=SpaceState.FILLING,
        bundle=f"bundles/{SPACE}",
        encoder=EncoderSpec(model="m", revision="r", template="{title}", dimension=8),
        history=RULE,
        dimension=3,
        data_cutoff=NOON,
    )
    rankers = {names.ranker_version("dot-product", SPACE): RankerVersion(kind="dot-product", space_id=SPACE)}
    DeploymentStore(made.deployment).update(
        lambda d: DeploymentDocument.model_validate(
            {**d.model_dump(), "spaces": {SPACE: space}, "rankers": rankers}
        )
    )
    declare(made)
    return made


def push_vector(store: Any, user: str, vector: list[float] | None, when: datetime) -> None:
    frame = pd.DataFrame(
        {c.USER_ID: [user], names.USER_VECTOR: [vector and [float(v) for v in vector]], c.AS_OF: [when]}
    )
    store.write_to_online_store(USERS, frame)


def read(store: Any, view: str, feature: str, key: str, ids: list[str]) -> list[Any]:
    return store.get_online_features([f"{view}:{feature}"], {key: ids}).to_dict()[feature]


def test_vectors_come_back_as_they_went_in(config: Config) -> None:
    store = open_feature_store(config)
    vector = [0.1, -3.5e-30, float(np.float32(np.pi))]
    push_vector(store, "ada", vector, NOON)
    push_vector(store, "bob", [1, 2, 3], NOON)
    got = read(store, USERS, names.USER_VECTOR, c.USER_ID, ["nobody", "bob", "ada", "bob"])
    assert got[0] is None
    assert got[1] == got[3] == [1, 2, 3]
    np.testing.assert_array_equal(np.float32(got[2]), np.float32(vector))
    rows = open_row_store(config)
    [[raw]] = rows.read_fields([online.entity_key(c.USER_ID, "ada")], [USERS])
    cell = online.decode_cell(raw or b"")
    assert cell.as_of_us == times.to_us(NOON)
    np.testing.assert_array_equal(online.decode_vector(cell.payload), np.float32(vector))


def test_only_a_strictly_newer_vector_is_taken(config: Config) -> None:
    store = open_feature_store(config)
    for vector, when in (([2, 2, 2], at(2)), ([1, 1, 1], at(1)), ([3, 3, 3], at(2))):
        push_vector(store, "ada", vector, when)
    assert read(store, USERS, names.USER_VECTOR, c.USER_ID, ["ada"]) == [[2, 2, 2]]
    push_vector(store, "ada", [4, 4, 4], at(2) + timedelta(microseconds=1))
    assert read(store, USERS, names.USER_VECTOR, c.USER_ID, ["ada"]) == [[4, 4, 4]]


def test_timestamps_are_kept_to_the_microsecond(config: Config) -> None:
    store = open_feature_store(config)
    when = at(1) + timedelta(microseconds=123_457)
    push_vector(store, "ada", [1, 1, 1], when)
    proto = store.get_online_features([f"{USERS}:{names.USER_VECTOR}"], {c.USER_ID: ["ada"]}).proto
    stamp = proto.results[[*proto.metadata.feature_names.val].index(names.USER_VECTOR)].event_timestamps[0]
    assert stamp.seconds * 1_000_000 + stamp.nanos // 1000 == times.to_us(when)


def test_a_tombstone_reads_as_null(config: Config) -> None:
    rows, key = open_row_store(config), online.entity_key(c.USER_ID, "ada")
    tombstone = online.encode_cell(times.to_us(NOON), online.TOMBSTONE)
    rows.replace_rows([RowWrite(key, None, {"as_of": online.encode_time(5), USERS: tombstone})])
    assert read(open_feature_store(config), USERS, names.USER_VECTOR, c.USER_ID, ["ada"]) == [None]


def history_frame(user: str, entries: list[tuple[int, str, str]], when: datetime) -> pd.DataFrame:
    return pd.DataFrame(
        {
            c.USER_ID: [user],
            names.HISTORY_TIMESTAMPS: [[e[0] for e in entries]],
            names.HISTORY_EVENT_IDS: [[e[1] for e in entries]],
            names.HISTORY_ITEM_IDS: [[e[2] for e in entries]],
            c.AS_OF: [when],
        }
    )


def test_histories_are_merged_whatever_the_order(config: Config) -> None:
    """Newest three of the union; an older write adds what is newer than what is there."""
    store = open_feature_store(config)
    store.write_to_online_store(HISTORY, history_frame("ada", [(3, "e3", "c"), (5, "e5", "e")], at(9)))
    store.write_to_online_store(HISTORY, history_frame("ada", [(1, "e1", "a"), (4, "e4", "d")], at(2)))
    store.write_to_online_store(HISTORY, history_frame("ada", [(5, "e5", "e")], at(3)))
    assert read(store, HISTORY, names.HISTORY_ITEM_IDS, c.USER_ID, ["ada"]) == [["c", "d", "e"]]
    assert read(store, HISTORY, names.HISTORY_TIMESTAMPS, c.USER_ID, ["ada"]) == [[3, 4, 5]]
    rows, key = open_row_store(config), online.entity_key(c.USER_ID, "ada")
    [[raw]] = rows.read_fields([key], [HISTORY])
    assert online.decode_cell(raw or b"").as_of_us == times.to_us(at(9)) + 1, "vectors of at(9) are behind"


def test_concurrent_merges_lose_no_entry(config: Config) -> None:
    rule_entries = [HistoryEntry(n, f"e{n}", f"i{n}") for n in range(40)]
    long_rule = HistoryRule(max_length=100)
    key = online.entity_key(c.USER_ID, "ada")

    def merge(part: list[HistoryEntry]) -> None:
        rows = open_row_store(config)
        for entry in part:
            merge_histories(rows, long_rule, {key: HistoryUpdate([entry], entry.event_timestamp_us)})
        rows.close()

    threads = [threading.Thread(target=merge, args=(rule_entries[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    [[raw]] = open_row_store(config).read_fields([key], [names.user_history_view(long_rule.id)])
    assert online.decode_history(online.decode_cell(raw or b"").payload) == rule_entries


def test_a_merge_moves_the_revision_so_that_a_zombie_cannot_write(config: Config) -> None:
    rows, key = open_row_store(config), online.entity_key(c.USER_ID, "ada")
    merge_histories(rows, RULE, {key: HistoryUpdate([HistoryEntry(1, "e1", "a")], 100)})
    [[seen]] = rows.read_fields([key], ["as_of"])
    merge_histories(rows, RULE, {key: HistoryUpdate([HistoryEntry(2, "e2", "b")], 50)})
    zombie = {"as_of": online.encode_time(1_000), HISTORY: online.encode_cell(1_000, b"")}
    assert rows.replace_rows([RowWrite(key, seen, zombie)]) == [False]
    [[raw, as_of]] = rows.read_fields([key], [HISTORY, "as_of"])
    assert [e.item_id for e in online.decode_history(online.decode_cell(raw or b"").payload)] == ["a", "b"]
    assert online.decode_time(as_of or b"") == 101


def test_a_forgotten_user_is_not_brought_back(config: Config) -> None:
    rows, key = open_row_store(config), online.entity_key(c.USER_ID, "ada")
    when = online.encode_time(times.to_us(at(5)))
    rows.replace_rows([RowWrite(key, None, {"as_of": when, "forgotten_at": when})])
    store = open_feature_store(config)
    store.write_to_online_store(HISTORY, history_frame("ada", [(1, "e1", "a")], at(5)))
    push_vector(store, "ada", [1, 1, 1], at(5))
    assert read(store, HISTORY, names.HISTORY_ITEM_IDS, c.USER_ID, ["ada"]) == [None]
    assert read(store, USERS, names.USER_VECTOR, c.USER_ID, ["ada"]) == [None]
    push_vector(store, "ada", [1, 1, 1], at(6))
    assert read(store, USERS, names.USER_VECTOR, c.USER_ID, ["ada"]) == [[1, 1, 1]]


def test_views_of_other_teams_keep_their_types(config: Config, tmp_path: Path) -> None:
    store = open_feature_store(config)
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
    source = FileSource(
        path=str(tmp_path / "shops.parquet"), timestamp_field="t", created_timestamp_column="made"
    )
    fields = [
        Field(name="sales", dtype=Int64),
        Field(name="rating", dtype=Float32),
        Field(name="city", dtype=String),
    ]
    view = FeatureView(
        name="shops", entities=[shop], schema=[Field(name="shop_id", dtype=Int64), *fields], source=source
    )

    def rows(sales: int, when: datetime, made: datetime) -> pd.DataFrame:
        return pd.DataFrame(
            {"shop_id": [7], "sales": [sales], "rating": [4.5], "city": ["Graz"], "t": [when], "made": [made]}
        )

    rows(0, NOON, NOON).to_parquet(tmp_path / "shops.parquet")
    store.apply([shop, view])
    for sales, when, made in ((2, at(2), at(2)), (1, at(1), at(9)), (3, at(2), at(3)), (4, at(2), at(2))):
        store.write_to_online_store("shops", rows(sales, when, made))
    got = store.get_online_features(
        ["shops:sales", "shops:rating", "shops:city"], {"shop_id": [7, 8]}
    ).to_dict()
    assert got == {"shop_id": [7, 8], "sales": [3, None], "rating": [4.5, None], "city": ["Graz", None]}
    store.apply([], objects_to_delete=[view], partial=False)
    store.apply([shop, view])
    assert store.get_online_features(["shops:sales"], {"shop_id": [7]}).to_dict()["sales"] == [None]


def test_materialising_many_files_and_chunks_leaves_none_out(config: Config) -> None:
    """12 000 items in three files: the newest row of each, null rows as tombstones."""
    log, count = OfflineLog(config.offline), 12_000
    ids = [f"i{n}" for n in range(count)]
    for part in range(3):
        vectors = [None if n % 1000 == part else [n, part, 0.0] for n in range(count)]
        table = pa.table(
            {c.ITEM_ID: ids, names.ITEM_VECTOR: vectors, c.AS_OF: [at(part - n) for n in range(count)]}
        )
        log.append(ITEMS, table)
    store = open_feature_store(config)
    assert materialise(config, store, [ITEMS]) == {ITEMS: count}
    got = read(store, ITEMS, names.ITEM_VECTOR, c.ITEM_ID, ids)
    assert got == [None if n % 1000 == 2 else [n, 2, 0] for n in range(count)]


def test_a_feature_store_is_opened_with_what_feast_needs_to_be_told(config: Config) -> None:
    store = open_feature_store(config)
    assert store.config.materialization_config.pull_latest_features
    assert store.config.materialization_config.online_write_batch_size == 10_000
    versions = set()
    for _ in range(3):
        store.refresh_registry()
        versions.add(store.registry.cached_registry_proto.version_id)
    assert len(versions - {""}) == 3, "list caches would outlive a refresh"


def test_reads_go_on_while_a_view_materialises_and_spaces_are_declared(config: Config) -> None:
    log = OfflineLog(config.offline)
    ids = [f"i{n}" for n in range(4_000)]
    log.append(
        ITEMS, pa.table({c.ITEM_ID: ids, names.ITEM_VECTOR: [[1.0, 2, 3]] * 4_000, c.AS_OF: [NOON] * 4_000})
    )
    store = open_feature_store(config)
    materialise(config, store, [ITEMS])
    stop, failures, reads = threading.Event(), list[BaseException](), 0

    def hammer() -> None:
        nonlocal reads
        mine = open_feature_store(config)
        while not stop.is_set():
            try:
                got = read(mine, ITEMS, names.ITEM_VECTOR, c.ITEM_ID, ["i0", "i3999"])
                assert got == [[1, 2, 3]] * 2
                reads += 1
            except BaseException as error:
                failures.append(error)
                return

    reader = threading.Thread(target=hammer)
    reader.start()
    try:
        for _ in range(3):
            materialise(config, store, [ITEMS])
            declare(config, store=store)
            store.refresh_registry()
            assert read(store, ITEMS, names.ITEM_VECTOR, c.ITEM_ID, ["i0"]) == [[1, 2, 3]]
    finally:
        stop.set()
        reader.join(timeout=60)
    assert failures == []
    assert reads > 20
