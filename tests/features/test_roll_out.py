"""A space from its bundle into a slot and out again, and what a reader sees meanwhile."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import names, online, times
from learn_features.contracts.deployment import SpaceState
from learn_features.errors import DeploymentError, GateFailed
from learn_features.features import roll_out
from learn_features.features.declarations import declare, feature_objects
from learn_features.features.feast_store import open_feature_store
from learn_features.features.reader import FeatureReader
from learn_features.features.row_store import CellPut, RowWrite
from learn_features.features.rows import open_row_store
from learn_features.features.staleness import stale_users
from learn_features.release.deployment import DeploymentStore

PROJECT = Path(__file__).parents[2]
DAY = datetime(2024, 3, 1, 12, tzinfo=UTC)
EVENTS = [("ada", "a", DAY), ("ada", "b", DAY), ("bob", "b", DAY)]
ITEMS = ["a", "b", "c"]


def checkpoint(config: Config, version: int, partition: int = 0) -> None:
    rows = open_row_store(config)
    part = online.PartitionCheckpoint(
        topic="interactions", topic_id="t", partition=partition, next_offset=1, document_version=version
    )
    rows.compare_and_set_fields(online.CHECKPOINT_KEY, {}, {part.field: part.model_dump_json().encode()})
    rows.close()


def test_a_space_goes_into_service_and_back(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    content = fill_log(ITEMS, EVENTS).content
    first, second = make_towers(1), make_towers(2)
    rankers = []
    for towers in (first, second):
        space = roll_out.begin(config, towers.uri)
        rankers.append(names.ranker_version("dot-product", space))
        with pytest.raises(DeploymentError, match="its space is filling"):
            roll_out.promote(config, rankers[-1])
        with pytest.raises(GateFailed, match="0 of 3 items"):
            roll_out.ready(config, space)
        roll_out.fill(config, space)
        report = roll_out.ready(config, space)
        assert (report.items_covered, report.users_covered, report.compared, report.different) == (3, 2, 5, 0)
        roll_out.promote(config, rankers[-1])

    def read() -> tuple[str, np.ndarray, np.ndarray]:
        features = FeatureReader(config).ranking("ranking", "ada", ["b", "gone", "a"])
        assert features.user_vector is not None
        assert features.found.tolist() == [True, False, True]
        assert not features.item_vectors[1].any()
        np.testing.assert_array_equal(features.values["popularity"], [2, np.nan, 1])
        assert features.as_of == times.to_us(DAY)
        assert features.item_as_of.tolist() == [times.BASE_DATE_US, 0, times.BASE_DATE_US]
        return features.ranker, features.user_vector, features.item_vectors[[0, 2]]

    def expect(towers: object, seen: tuple[str, np.ndarray, np.ndarray], ranker: str) -> None:
        assert seen[0] == ranker
        np.testing.assert_allclose(seen[1], towers.user([content["a"], content["b"]]), atol=1e-5)  # type: ignore[attr-defined]
        np.testing.assert_allclose(seen[2], [towers.item(content[i]) for i in "ba"], atol=1e-5)  # type: ignore[attr-defined]

    expect(second, read(), rankers[1])
    with pytest.raises(DeploymentError, match="read by a slot"):
        roll_out.retire(config, first.space_id)
    roll_out.roll_back(config)
    expect(first, read(), rankers[0])
    roll_out.roll_back(config)
    expect(second, read(), rankers[1])
    popular = FeatureReader(config).ranking("popularity", "nobody", ["a", "new"])
    assert popular.found.tolist() == [True, False]
    assert popular.user_vector is None


def test_begin_twice_is_begin_once(config: Config, make_towers: Callable, fill_log: Callable) -> None:
    towers = make_towers()
    fill_log(ITEMS, EVENTS)
    roll_out.begin(config, towers.uri)
    assert roll_out.begin(config, towers.uri) == towers.space_id
    document = DeploymentStore(config.deployment).read()
    assert document.version == 1
    assert document.spaces[towers.space_id].bundle == f"bundles/{towers.space_id}"
    roll_out.retire(config, towers.space_id)
    roll_out.begin(config, towers.uri)
    document = DeploymentStore(config.deployment).read()
    assert (document.version, document.spaces[towers.space_id].state) == (3, SpaceState.FILLING)


def test_a_fill_waits_for_every_partition(config: Config, make_towers: Callable, fill_log: Callable) -> None:
    towers = make_towers()
    fill_log(ITEMS, EVENTS)
    space = roll_out.begin(config, towers.uri)
    checkpoint(config, version=1, partition=0)
    checkpoint(config, version=0, partition=3)
    with pytest.raises(GateFailed, match=r"interactions-3 \(at version 0\)"):
        roll_out.fill(config, space, wait_seconds=0)
    follow = threading.Timer(0.3, checkpoint, (config, 1, 3))
    follow.start()
    roll_out.wait_for_consumers(config, space, wait_seconds=20)
    follow.join()


def test_stale_users_are_named_and_swept(config: Config, make_towers: Callable, fill_log: Callable) -> None:
    towers = make_towers()
    fill_log(ITEMS, [*EVENTS, ("cleo", "unknown", DAY), ("dan", "c", DAY)])
    space = roll_out.begin(config, towers.uri)
    roll_out.fill(config, space)
    assert list(stale_users(config, space)) == [], "cleo cannot have a vector and is not stale"
    rows = open_row_store(config)
    users, items = names.user_embedding_view(space), names.item_embedding_view(space)
    later = times.to_us(DAY) + 1
    vector = online.encode_cell(later, online.encode_vector(np.ones(4, np.float32)))
    rows.put_newer([CellPut(online.entity_key(c.ITEM_ID, "a"), {items: vector})])
    assert set(stale_users(config, space)) == {"ada"}, "an item of hers is newer"
    dan = online.entity_key(c.USER_ID, "dan")
    [row] = rows.read_rows([dan])
    rows.replace_rows([RowWrite(dan, row["as_of"], {"as_of": online.encode_time(later), users: None})])
    assert set(stale_users(config, space)) == {"ada", "dan"}
    rows.put_newer([CellPut(online.entity_key(c.ITEM_ID, "c"), {items: online.encode_cell(later, b"")})])
    assert set(stale_users(config, space)) == {"ada"}, "dan's only item is gone: he cannot have a vector"
    with pytest.raises(GateFailed, match=r"1 of 3 users have a stale vector"):
        roll_out.check(config, space)

    def refresh(user_id: str) -> None:
        key = online.entity_key(c.USER_ID, user_id)
        rows.put_newer([CellPut(key, {users: vector})])

    assert roll_out.sweep(config, space, refresh, wait_seconds=20) == 1
    assert list(stale_users(config, space)) == []


def test_online_rows_that_differ_or_lag_fail_the_gate(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    towers = make_towers()
    fill_log(ITEMS, EVENTS)
    space = roll_out.begin(config, towers.uri)
    roll_out.fill(config, space)
    rows = open_row_store(config)
    view = names.user_embedding_view(space)
    for user, as_of, problem in (
        ("ada", 0, "1 of 5 online rows differ"),
        ("bob", -1, "1 online rows are older"),
    ):
        key = online.entity_key(c.USER_ID, user)
        [row] = rows.read_rows([key])
        wrong = online.encode_cell(times.to_us(DAY) + as_of, online.encode_vector(np.ones(4, np.float32)))
        revision = online.encode_time(times.to_us(DAY) + 9)
        assert rows.replace_rows([RowWrite(key, row["as_of"], {"as_of": revision, view: wrong})]) == [True]
        with pytest.raises(GateFailed, match=problem):
            roll_out.check(config, space)


def test_a_reader_never_sees_two_spaces_in_one_call(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    content = fill_log(ITEMS, EVENTS).content
    rankers = {}
    for seed in (1, 2):
        towers = make_towers(seed)
        space = roll_out.begin(config, towers.uri)
        roll_out.fill(config, space)
        roll_out.ready(config, space)
        rankers[names.ranker_version("dot-product", space)] = towers
        roll_out.promote(config, names.ranker_version("dot-product", space))
    stop, seen, failures = threading.Event(), set[str](), list[str]()

    def hammer() -> None:
        reader = FeatureReader(config, document_seconds=0)
        while not stop.is_set():
            features = reader.ranking("ranking", "ada", ["a", "b"])
            towers = rankers[features.ranker]
            same = np.allclose(features.item_vectors, [towers.item(content[i]) for i in "ab"], atol=1e-5)
            if not same or not np.allclose(
                features.user_vector, towers.user([content["a"], content["b"]]), atol=1e-5
            ):
                failures.append(features.ranker)
            seen.add(features.ranker)

    reader = threading.Thread(target=hammer)
    reader.start()
    deadline = datetime.now(UTC).timestamp() + 30
    try:
        while len(seen) < 2 and datetime.now(UTC).timestamp() < deadline:
            roll_out.roll_back(config)
            now = set(seen)
            while seen == now and len(seen) < 2 and datetime.now(UTC).timestamp() < deadline:
                reader.join(timeout=0.05)
    finally:
        stop.set()
        reader.join(timeout=30)
    assert seen == set(rankers)
    assert failures == []


def test_feast_apply_deletes_nothing(
    config: Config, make_towers: Callable, fill_log: Callable, tmp_path: Path
) -> None:
    """`feast apply` as a person runs it, in a copy of feature_repo next to this system's learn.yaml."""
    towers = make_towers()
    fill_log(ITEMS, EVENTS)
    space = roll_out.begin(config, towers.uri)
    roll_out.fill(config, space)
    repo = tmp_path / "feature_repo"
    repo.mkdir()
    for file in (PROJECT / "feature_repo").glob("*.py"):
        (repo / file.name).write_text(file.read_text())
    text = config.feature_store.read_text()
    folder = config.feature_store.parent
    text = text.replace("sqlite:///registry.db", f"sqlite:///{folder}/registry.db")
    (repo / "feature_store.yaml").write_text(text.replace("path: online.db", f"path: {folder}/online.db"))
    settings = tmp_path / "learn.yaml"
    settings.write_text(json.dumps({"state": config.state, "feature_store": str(config.feature_store)}))
    before = declared(config)
    environment = {"LEARN_CONFIG": str(settings), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    apply = [str(Path(sys.executable).parent / "feast"), "apply"]
    done = subprocess.run(apply, cwd=repo, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert declared(config) == before
    assert "Removed" not in done.stdout
    assert "Deleted" not in done.stdout


def test_the_stores_refuse_to_drop_a_used_space(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    towers = make_towers()
    fill_log(ITEMS, EVENTS)
    space = roll_out.begin(config, towers.uri)
    roll_out.fill(config, space)
    view = names.user_embedding_view(space)

    def cell() -> bytes | None:
        rows = open_row_store(config)
        [[raw]] = rows.read_fields([online.entity_key(c.USER_ID, "ada")], [view])
        return raw

    def delete() -> None:
        store = open_feature_store(config)
        store.apply([], objects_to_delete=[store.get_feature_view(view)], partial=False)

    with pytest.raises(DeploymentError, match="belongs to a space that is not retired"):
        delete()
    assert cell() is not None
    roll_out.retire(config, space)
    # Feast had forgotten the view before it asked the store: declared again, it can be deleted
    document = DeploymentStore(config.deployment)
    declare(config, document.read_version(document.read().version - 1))
    delete()
    assert cell() is None


def declared(config: Config) -> set[str]:
    store = open_feature_store(config)
    objects = [*store.list_feature_views(), *store.list_feature_services(), *store.list_entities()]
    found = {thing.name for thing in objects}
    assert found >= set(feature_objects(config)) or not store.list_feature_views()
    return found
