"""A run's data stay what they were for whoever took them, and nobody else's pass for them."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from learn_features.config import Config
from learn_features.errors import ConfigError, DataError
from learn_features.training.run import alone_in
from learn_features.training.snapshot import snapshot_folder, take_snapshot
from tests.training.dataset import write_data


@pytest.fixture
def taken(tmp_path: Path) -> tuple[Config, Path, Path]:
    """Settings, a data folder and the folder of a run that has it."""
    config = Config(state=str(tmp_path / "state"))
    write_data(tmp_path / "data", users=5)
    take_snapshot(config, tmp_path / "data", tmp_path / "run", owner="monday")
    return config, tmp_path / "data", tmp_path / "run"


def users(run: Path) -> int:
    return pl.read_parquet(snapshot_folder(run) / "interactions.parquet")["user_id"].n_unique()


def test_the_same_owner_keeps_its_data(taken: tuple[Config, Path, Path]) -> None:
    config, data, run = taken
    before = users(run)
    write_data(data, users=9)
    take_snapshot(config, data, run, owner="monday", fresh=True)  # a task that is tried again
    shutil.rmtree(data)
    take_snapshot(config, data, run, owner="monday")
    assert users(run) == before


def test_another_owner_needs_the_same_data(taken: tuple[Config, Path, Path]) -> None:
    config, data, run = taken
    take_snapshot(config, data, run, owner="tuesday")
    write_data(data, users=9)
    with pytest.raises(ConfigError, match=r"holds the data of another run, and .* differs"):
        take_snapshot(config, data, run, owner="wednesday")
    take_snapshot(config, data, run, owner="tuesday")  # whose data they are as well by now
    take_snapshot(config, data, run, owner="monday")


def test_fresh_data_take_the_place_of_what_was_trained(taken: tuple[Config, Path, Path]) -> None:
    config, data, run = taken
    before = users(run)
    for name in ("run.json", "evaluation.json", "weights.safetensors", "metrics.jsonl"):
        (run / name).write_text("{}")
    (run / "checkpoint").mkdir()
    write_data(data, users=9)
    take_snapshot(config, data, run, owner="tuesday", fresh=True)
    assert users(run) > before
    assert sorted(file.name for file in run.iterdir()) == ["snapshot"]


def test_bad_data_leave_what_is_there(taken: tuple[Config, Path, Path]) -> None:
    config, data, run = taken
    before = users(run)
    (data / "items.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match="cannot be read"):
        take_snapshot(config, data, run, owner="tuesday", fresh=True)
    assert users(run) == before


def test_a_copy_that_fails_leaves_what_is_there(
    taken: tuple[Config, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, data, run = taken
    before = users(run)
    (run / "run.json").write_text("{}")
    write_data(data, users=9)

    def half(_source: Path, target: Path) -> None:
        target.write_bytes(b"half")

    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(DataError, match="changed while it was copied"):
        take_snapshot(config, data, run, owner="tuesday", fresh=True)
    assert users(run) == before
    assert (run / "run.json").exists()
    monkeypatch.undo()
    take_snapshot(config, data, run, owner="tuesday", fresh=True)
    assert users(run) > before
    assert not (run / "run.json").exists()


def test_a_training_that_runs_is_not_disturbed(taken: tuple[Config, Path, Path]) -> None:
    config, data, run = taken
    before = users(run)
    write_data(data, users=9)
    with alone_in(run), pytest.raises(ConfigError, match="another training writes to it"):
        take_snapshot(config, data, run, owner="tuesday", fresh=True)
    assert users(run) == before
