import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from learn_features.contracts.deployment import DeploymentDocument, RankerVersion, Slot, Space, SpaceState
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec
from learn_features.errors import ConfigError, DeploymentError
from learn_features.release.deployment import DeploymentStore

SPACE = Space(
    state=SpaceState.FILLING,
    bundle="bundles/s1",
    encoder=EncoderSpec(model="m", revision="r", template="{title}", dimension=8),
    history=HistoryRule(),
    dimension=4,
    data_cutoff=datetime(2024, 1, 1, tzinfo=UTC),
)


def with_space(document: DeploymentDocument, state: SpaceState, name: str = "s1") -> DeploymentDocument:
    space = SPACE.model_copy(update={"state": state})
    return document.model_copy(update={"spaces": {**document.spaces, name: space}})


@pytest.fixture
def store(tmp_path: Path) -> DeploymentStore:
    return DeploymentStore(str(tmp_path / "deployment"))


def test_before_the_first_file_version_0_is_in_force(store: DeploymentStore) -> None:
    assert store.read().version == 0
    assert store.read().spaces == {}
    assert store.versions() == []


def test_every_update_is_a_new_file_and_the_highest_is_in_force(
    store: DeploymentStore, tmp_path: Path
) -> None:
    first = store.update(lambda d: with_space(d, SpaceState.FILLING))
    second = store.update(lambda d: with_space(d, SpaceState.READY))
    assert (first.version, second.version) == (1, 2)
    assert sorted(p.name for p in (tmp_path / "deployment").iterdir()) == ["00000001.json", "00000002.json"]
    fresh = DeploymentStore(str(tmp_path / "deployment"))
    assert fresh.read() == second
    assert fresh.read_version(1) == first


def test_no_change_writes_no_version(store: DeploymentStore) -> None:
    store.update(lambda d: with_space(d, SpaceState.FILLING))
    assert store.update(lambda d: with_space(d, SpaceState.FILLING)).version == 1
    assert store.versions() == [1]


def test_an_invalid_highest_version_is_an_error_and_never_skipped(
    store: DeploymentStore, tmp_path: Path
) -> None:
    store.update(lambda d: with_space(d, SpaceState.FILLING))
    file = tmp_path / "deployment" / "00000002.json"
    file.write_bytes((tmp_path / "deployment" / "00000001.json").read_bytes())
    with pytest.raises(DeploymentError, match=r"00000002\.json: says it is version 1"):
        store.read()
    file.write_bytes(file.read_bytes().replace(b"filling", b"retired"))
    with pytest.raises(DeploymentError, match=r"00000002\.json.*sha256"):
        store.read()
    file.write_bytes(b"")
    with pytest.raises(DeploymentError, match=r"00000002\.json"):
        store.update(lambda d: with_space(d, SpaceState.READY))


@pytest.mark.parametrize(
    ("before", "after"),
    [("ready", "filling"), ("retired", "ready")],
)
def test_a_space_moves_forward_only(store: DeploymentStore, before: str, after: str) -> None:
    store.update(lambda d: with_space(d, SpaceState(before)))
    with pytest.raises(DeploymentError, match=f"is {before}; it cannot become {after}"):
        store.update(lambda d: with_space(d, SpaceState(after)))
    assert store.versions() == [1]


def test_what_exists_cannot_change_or_vanish(store: DeploymentStore) -> None:
    store.update(lambda d: with_space(d, SpaceState.READY))
    ranker = RankerVersion(kind="dot-product", space_id="s1")
    store.update(lambda d: d.model_copy(update={"rankers": {"dot-product__s1": ranker}}))
    other = ranker.model_copy(update={"artefact": "elsewhere"})
    with pytest.raises(DeploymentError, match="cannot change"):
        store.update(lambda d: d.model_copy(update={"rankers": {"dot-product__s1": other}}))
    bigger = SPACE.model_copy(update={"state": SpaceState.READY, "dimension": 5})
    with pytest.raises(DeploymentError, match="only its state"):
        store.update(lambda d: d.model_copy(update={"spaces": {"s1": bigger}}))
    with pytest.raises(DeploymentError, match="unknown ranker"):
        store.update(lambda d: d.model_copy(update={"slots": {"ranking": Slot(ranker="nothing")}}))


def test_object_stores_are_refused() -> None:
    with pytest.raises(ConfigError, match="s3://bucket/deployment"):
        DeploymentStore("s3://bucket/deployment")


def _add_many(folder: str, writer: int, count: int) -> None:
    store = DeploymentStore(folder)
    for number in range(count):
        store.update(lambda d, n=number: with_space(d, SpaceState.FILLING, f"s{writer}-{n}"))  # type: ignore[misc]


def test_no_update_of_concurrent_processes_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    folder = str(tmp_path / "deployment")
    writers = [context.Process(target=_add_many, args=(folder, w, 15)) for w in range(3)]
    for process in writers:
        process.start()
    for process in writers:
        process.join(timeout=60)
        assert process.exitcode == 0
    store = DeploymentStore(folder)
    assert set(store.read().spaces) == {f"s{w}-{n}" for w in range(3) for n in range(15)}
    assert store.versions() == list(range(1, 46))
    assert all(p.suffix == ".json" for p in Path(folder).iterdir()), "files written aside are gone"
