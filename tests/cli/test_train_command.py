"""`learn-features train`: goes on by itself, says so, and names the next command."""

import json

import pytest
from typer.testing import CliRunner

from learn_features import config as settings
from learn_features.cli.main import app
from learn_features.training.train import train
from tests.training.dataset import write_data


class Stopped(Exception):
    """Raised in the middle of a training."""


def test_a_stopped_run_is_picked_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "data")

    def stop(done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train(settings.load(), "data", "run", epochs=1, checkpoint_seconds=0, progress=stop)
    shown = CliRunner().invoke(app, ["train", "data", "run", "--epochs", "1"])
    assert shown.exit_code == 0, shown.output
    assert "resumed at step 1 of phase tune" in shown.stderr
    assert "final 1  loss" in shown.stderr
    assert "next: learn-features evaluate data run" in shown.stderr
    assert "Recall" in shown.stdout

    shown = CliRunner().invoke(app, ["train", "data", "run", "--epochs", "1"])
    assert "run holds this training already; --fresh trains again" in shown.stderr

    shown = CliRunner().invoke(app, ["train", "data", "run", "--epochs", "1", "--fresh", "--json"])
    report = json.loads(shown.stdout)
    assert report["resumed_at"] is None
    assert report["trained_before"] is False
    assert report["users"] == 24
    assert shown.stderr.count("loss") == 2


def test_another_seed_is_no_continuation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "data")

    def stop(done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train(settings.load(), "data", "run", epochs=1, checkpoint_seconds=0, progress=stop)
    shown = CliRunner().invoke(app, ["train", "data", "run", "--epochs", "1", "--seed", "5"])
    assert shown.exit_code == 1
    assert "seed 0 → 5" in str(shown.exception)
    fresh = CliRunner().invoke(app, ["train", "data", "run", "--epochs", "1", "--seed", "5", "--fresh"])
    assert fresh.exit_code == 0, fresh.output
    assert "resumed" not in fresh.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", ""], "name of the run's folder is empty"),
        (["data", "run", "--parent", ""], "--parent: is empty"),
    ],
)
def test_a_variable_that_is_not_set_trains_nothing_anywhere(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "data")
    shown = CliRunner().invoke(app, ["train", *arguments, "--epochs", "1"])
    assert shown.exit_code == 1
    assert message in str(shown.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
