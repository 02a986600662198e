"""What becomes of a run's folder: stopped and gone on with, finished, used again, damaged."""

import logging
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from learn_features.config import TrainingConfig
from learn_features.errors import BundleError, ConfigError, LearnFeaturesError
from learn_features.towers.weights import load_towers, tensors
from learn_features.training import train as training_module
from learn_features.training.run import read_run
from learn_features.training.train import train
from tests.training.dataset import write_data


def test_an_unfinished_run_is_no_run(trained, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match=r"neither a bundle .* nor a training run"):
        read_run(tmp_path)


class Stopped(Exception):
    """Raised in the middle of a training."""


def stop_at(step: int):
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Stopped

    return progress


def test_a_stopped_training_goes_on_from_its_checkpoint(trained, tmp_path, caplog, monkeypatch):
    config, base, whole = trained
    folder = tmp_path / "run"
    with pytest.raises(Stopped):
        train(config, base / "data", folder, checkpoint_seconds=0, progress=stop_at(2))
    assert (folder / "checkpoint" / "state.json").exists()
    for read in (read_run, load_towers):
        with pytest.raises(BundleError, match="is not finished; give the same train command again"):
            read(folder)
    with monkeypatch.context() as patched:
        patched.setattr(training_module, "write_content", None)  # refused before anything is embedded
        with pytest.raises(ConfigError, match=r"another training \(seed 0 → 1\).* --fresh"):
            train(config, base / "data", folder, seed=1)
    larger = config.model_copy(update={"training": TrainingConfig(preset="paper-small")})
    with pytest.raises(
        BundleError, match=r"another architecture \(towers\.content_dropout 0\.2 → 0\.0, towers\.dropout"
    ):
        train(larger, base / "data", folder)

    with caplog.at_level(logging.INFO, logger="learn_features.training"):
        report = train(config, base / "data", folder)
    assert report.resumed_at == "tune 2"
    assert "resumed at step 2 of phase tune" in caplog.text
    assert report.validation == whole.validation
    ours, theirs = tensors(load_towers(folder)), tensors(load_towers(base / "run"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (folder / "item_residuals.safetensors").exists() == (
        base / "run" / "item_residuals.safetensors"
    ).exists()
    assert sorted(f.name for f in folder.iterdir()) == sorted(f.name for f in (base / "run").iterdir())


def test_fresh_forgets_the_checkpoint(trained, tmp_path):
    config, base, _ = trained
    with pytest.raises(Stopped):
        train(config, base / "data", tmp_path, checkpoint_seconds=0, progress=stop_at(1))
    report = train(config, base / "data", tmp_path, seed=1, fresh=True, epochs=1)
    assert report.resumed_at is None
    assert not (tmp_path / "checkpoint").exists()


def test_a_finished_training_is_neither_repeated_nor_replaced(trained, tmp_path):
    config, base, first = trained
    folder = shutil.copytree(base / "run", tmp_path / "run")
    (folder / "evaluation.json").write_text("{}")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    report = train(config, base / "data", folder)
    assert (report.trained_before, report.validation) == (True, first.validation)
    with pytest.raises(ConfigError, match=r"finished training of other .*\(seed 0 → 1\).*fresh"):
        train(config, base / "data", folder, seed=1)
    write_data(tmp_path / "data", length=9)
    with pytest.raises(ConfigError, match=r"finished training .*data '"):
        train(config, tmp_path / "data", folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert not train(config, base / "data", folder, seed=1, fresh=True).trained_before
    assert read_run(folder).seed == 1
    assert not (folder / "evaluation.json").exists()  # it was of other weights


def test_a_second_training_in_the_same_folder_is_refused(trained, tmp_path):
    config, base, first = trained
    refused = []

    def second(done, total):
        if not refused:
            with pytest.raises(ConfigError, match="another training writes to it") as error:
                train(config, base / "data", tmp_path, seed=1)
            refused.append(error)

    assert train(config, base / "data", tmp_path, progress=second).validation == first.validation
    assert refused
    ours, theirs = tensors(load_towers(tmp_path)), tensors(load_towers(base / "run"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_weights_that_changed_since_are_noticed(trained, tmp_path):
    folder = shutil.copytree(trained[1] / "run", tmp_path / "run")
    for name in ("weights.safetensors", "item_residuals.safetensors"):
        raw = bytearray((folder / name).read_bytes())
        raw[-3] ^= 1
        (folder / name).write_bytes(raw)
        with pytest.raises(BundleError, match=r"not those that run\.json was written with"):
            load_towers(folder)
        shutil.copy(trained[1] / "run" / name, folder / name)
    load_towers(folder)


def test_a_full_disk_is_said(trained, tmp_path):
    """Files end first where the content vectors do not fit, then where the checkpoint does not."""
    _config, base, _ = trained
    (tmp_path / "learn.yaml").write_text(f"state: {base / 'state'}\ntraining: {{epochs: 2}}\n")
    for most in (10_000, 100_000):
        limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))"
        code = f"{limited}; from learn_features.cli.main import main; main()"
        # -B: Python would cut the compiled files of modules short, too, and stumble over them ever after
        command = [sys.executable, "-B", "-c", code, "-c", "learn.yaml", "train", str(base / "data"), "run"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert re.search(r"error: .*run.*: File too large; make room, then give the same", done.stderr)
        assert "Traceback" not in done.stderr
        assert not list((tmp_path / "run").rglob("*.tmp"))


def test_changed_data_is_not_mixed_with_what_was_learned_before(trained, tmp_path):
    config, _, _ = trained
    write_data(tmp_path / "data")
    with pytest.raises(Stopped):
        train(config, tmp_path / "data", tmp_path / "run", checkpoint_seconds=0, progress=stop_at(1))
    write_data(tmp_path / "data", length=9)
    with pytest.raises(ConfigError, match=r"another training .*data '"):
        train(config, tmp_path / "data", tmp_path / "run")


def test_processes_that_torchrun_starts_again_go_on(trained, tmp_path, monkeypatch):
    config, base, _ = trained
    with pytest.raises(Stopped):
        train(config, base / "data", tmp_path / "run", fresh=True, checkpoint_seconds=0, progress=stop_at(2))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert train(config, base / "data", tmp_path / "run", fresh=True).resumed_at == "tune 2"


def test_fresh_leaves_nothing_of_the_run_before(trained, tmp_path):
    """What was killed meanwhile would show the old run's curves beside the new one's checkpoint."""
    config, base, _ = trained
    folder = shutil.copytree(base / "run", tmp_path / "run")
    with pytest.raises(Stopped):
        train(config, base / "data", folder, fresh=True, checkpoint_seconds=0, progress=stop_at(2))
    assert [file.name for file in folder.iterdir()] == ["checkpoint"]


def test_what_a_killed_process_left_half_written_goes(trained, tmp_path):
    config, base, _ = trained
    (tmp_path / "run").mkdir()
    for name in (".content.npy", "weights.safetensors"):
        (tmp_path / "run" / f".{name}.0123abcd.tmp").write_bytes(b"half")
    train(config, base / "data", tmp_path / "run", epochs=1)
    assert not list((tmp_path / "run").glob("*.tmp"))


@pytest.mark.parametrize("cause", ["tracking", "recipe", "content"])
def test_what_is_refused_throws_nothing_away(trained, tmp_path, monkeypatch, cause):
    """`fresh` over a finished run, with settings or data that cannot be trained."""
    config, base, _ = trained
    folder = shutil.copytree(base / "run", tmp_path / "run")
    (folder / "evaluation.json").write_text("{}")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    if cause == "tracking":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "nothing://here")
    elif cause == "recipe":
        training = TrainingConfig(recipe={"loss": "dense_all_action"})
        config = config.model_copy(update={"training": training})
    else:
        map_content = training_module.map_content
        monkeypatch.setattr(training_module, "map_content", lambda file: map_content(file) * np.nan)
    with pytest.raises(LearnFeaturesError, match=r"cannot be used|no example ages|not finite"):
        train(config, base / "data", folder, fresh=True)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_checkpoint_of_other_settings_is_named_before_any_tracking(trained, tmp_path, monkeypatch):
    config, base, _ = trained
    with pytest.raises(Stopped):
        train(config, base / "data", tmp_path, checkpoint_seconds=0, progress=stop_at(1))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nothing://here")
    with pytest.raises(ConfigError, match=r"another training \(seed 0 → 1\)"):
        train(config, base / "data", tmp_path, seed=1)


def test_a_damaged_state_is_no_checkpoint(trained, tmp_path):
    config, base, _ = trained
    with pytest.raises(Stopped):
        train(config, base / "data", tmp_path, checkpoint_seconds=0, progress=stop_at(1))
    (tmp_path / "checkpoint" / "state.json").write_text('{"number": 1}')
    with pytest.raises(
        BundleError,
        match=r"is no checkpoint .inputs: Field required; tensors.*--fresh",
    ):
        train(config, base / "data", tmp_path)
