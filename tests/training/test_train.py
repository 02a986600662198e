"""`train()` on a small data set, with the real text encoder."""

import json
import logging
import re
import shutil
import subprocess
import sys
from datetime import timedelta

import polars as pl
import pytest
import torch

from learn_features.config import Config, TrainingConfig
from learn_features.contracts.history import HistoryRule
from learn_features.errors import BundleError, ConfigError, DataError, SpaceMismatch
from learn_features.towers.weights import load_towers, tensors
from learn_features.training import content_file
from learn_features.training.run import read_run
from learn_features.training.train import train
from tests.training.dataset import NOW, write_data


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Settings, data and one trained run, for the whole module."""
    base = tmp_path_factory.mktemp("training")
    config = Config(state=str(base / "state"), training=TrainingConfig(epochs=2))
    write_data(base / "data")
    report = train(config, base / "data", base / "run")
    return config, base, report


def test_a_run_says_what_it_is(trained):
    config, base, report = trained
    run = read_run(base / "run")
    assert run.encoder.dimension == run.towers.content_dimension == 384
    assert run.history == config.history
    assert run.towers.max_length == config.history.max_length
    assert (run.split, run.seed, run.parent) == ("global_time", 0, None)
    assert run.data_cutoff == NOW + timedelta(hours=7, minutes=23)  # the newest event of all
    assert (run.users, run.users_skipped) == (report.users, report.users_skipped) == (24, 1)
    lines = [json.loads(line) for line in (base / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines][:2] == ["tune", "tune"]
    assert lines[report.best_epoch - 1]["validation"] == run.validation == report.validation
    assert {"recall_at_10", "ndcg_at_10"} <= run.validation.keys()
    assert sorted(file.name for file in (base / "run").iterdir()) == [
        "curves.png", "item_residuals.safetensors", "metrics.jsonl", "run.json", "weights.safetensors",
    ]  # fmt: skip


def test_the_same_again_gives_the_same_weights_another_seed_does_not(trained):
    config, base, _ = trained
    train(config, base / "data", base / "again")
    train(config, base / "data", base / "other", seed=1)
    first, again, other = (tensors(load_towers(base / name)) for name in ("run", "again", "other"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_warm_start_begins_with_the_parents_weights(trained):
    config, base, cold = trained
    warm = train(config, base / "data", base / "warm", parent=str(base / "run"), epochs=1)
    first = json.loads((base / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert warm.loss < first["loss"]
    assert warm.epochs < cold.epochs
    assert not torch.equal(
        load_towers(base / "warm").user.alignment.adaptor.weight,
        load_towers(base / "run").user.alignment.adaptor.weight,
    )


def test_a_parent_of_another_rule_is_refused(trained):
    config, base, _ = trained
    shorter = config.model_copy(update={"history": HistoryRule(max_length=20)})
    with pytest.raises(SpaceMismatch, match=r"its history differs \(max_length 50 → 20\)"):
        train(shorter, base / "data", base / "refused", parent=str(base / "run"))
    with pytest.raises(BundleError, match="neither a bundle"):
        train(config, base / "data", base / "refused", parent=str(base / "nowhere"))
    with pytest.raises(ConfigError, match="is the parent's own folder"):
        train(config, base / "data", base / "run", parent=str(base / "run"), fresh=True)
    assert not (base / "refused").exists()


def test_unknown_preset(trained):
    config, base, _ = trained
    wrong = config.model_copy(update={"training": TrainingConfig(preset="huge")})
    with pytest.raises(ConfigError, match="huge is unknown"):
        train(wrong, base / "data", base / "refused")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"towers": {"widht": 32}}, r"training\.towers\.widht: Extra inputs are not permitted"),
        ({"towers": {"heads": 5}}, r"training\.towers: width 64 is not a multiple of heads 5"),
        ({"towers": {"max_length": 9}}, r"training\.towers\.max_length: is history\.max_length"),
        ({"towers": {"content_dimension": 9}}, r"content_dimension: is the encoder's; leave it out"),
        ({"towers": {"item_variant": "content"}}, r"training\.towers: item_variant content needs dimension"),
        ({"recipe": {"accumulate": 0}}, r"training\.recipe\.accumulate: Input should be greater"),
        ({"recipe": {"alpha": 9.0, "beta": 2.0}}, r"training\.recipe: beta 2\.0 must not be below"),
    ],
)
def test_settings_that_cannot_be_are_named(trained, settings, message):
    config, base, _ = trained
    wrong = config.model_copy(update={"training": TrainingConfig(**settings)})
    with pytest.raises(ConfigError, match=message):
        train(wrong, base / "data", base / "refused")
    assert not (base / "refused").exists()


def test_fields_of_towers_and_recipe_replace_the_presets(trained, tmp_path):
    config, base, _ = trained
    towers = {"item_variant": "sequence", "positions": "learned", "learnable_temperature": True}
    settings = TrainingConfig(
        preset="paper-small", towers={**towers, "time_gaps": True}, recipe={"users_per_step": 7}, epochs=1
    )
    train(config.model_copy(update={"training": settings}), base / "data", tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert {name: getattr(run.towers, name) for name in towers} == towers
    assert (run.towers.time_gaps, run.towers.width) == (True, 128)  # the preset's, where nothing is said
    assert (run.recipe.users_per_step, run.recipe.loss) == (7, "dense_all_action")
    assert load_towers(tmp_path / "run").config == run.towers


@pytest.mark.parametrize(
    ("length", "split", "message"),
    [
        (1, "auto", "the validation part of the split"),
        (3, "leave_one_out", r"none of \d users has two interactions at different times before the cut"),
    ],
)
def test_nothing_to_learn_from(trained, tmp_path, length, split, message):
    config, _, _ = trained
    write_data(tmp_path / "data", users=4, length=length)
    asked = config.model_copy(update={"training": TrainingConfig(split=split)})
    with pytest.raises(DataError, match=message):
        train(asked, tmp_path / "data", tmp_path / "run")


def test_an_unfinished_run_is_no_run(trained, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match=r"run\.json: cannot be read"):
        read_run(tmp_path)


class Stopped(Exception):
    """Raised in the middle of a training."""


def stop_at(step: int):
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Stopped

    return progress


def test_a_stopped_training_goes_on_from_its_checkpoint(trained, tmp_path, caplog):
    config, base, whole = trained
    folder = tmp_path / "run"
    with pytest.raises(Stopped):
        train(config, base / "data", folder, checkpoint_seconds=0, progress=stop_at(2))
    assert (folder / "checkpoint" / "state.json").exists()
    with pytest.raises(BundleError, match=r"run\.json: cannot be read"):
        read_run(folder)
    with pytest.raises(BundleError, match="is not finished; give the same train command again"):
        load_towers(folder)
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
        command = [sys.executable, "-c", code, "-c", "learn.yaml", "train", str(base / "data"), "run"]
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


def test_users_without_a_next_item_are_counted_and_logged(trained, tmp_path, caplog):
    config, base, _ = trained
    dense = config.model_copy(update={"training": TrainingConfig(preset="paper-small", epochs=1)})
    with caplog.at_level(logging.INFO, logger="learn_features.training"):
        report = train(dense, base / "data", tmp_path)
    assert (report.users, report.users_skipped) == (24, 1)
    assert "1 of 25 users have no two interactions at different times" in caplog.text
    assert not (tmp_path / "item_residuals.safetensors").exists()


def test_what_the_data_lack_is_logged(trained, tmp_path, caplog):
    config, base, _ = trained
    shutil.copytree(base / "data", tmp_path / "data")
    [log] = (tmp_path / "data").glob("interactions.*")
    rows = pl.read_parquet(log)
    pl.concat([rows, rows[:3]]).write_parquet(log)
    with caplog.at_level(logging.WARNING, logger="learn_features.training"):
        train(config, tmp_path / "data", tmp_path / "run", epochs=1)
    assert "rows repeat an interaction" in caplog.text


def test_items_without_a_content_vector_are_counted_and_named(trained, tmp_path, monkeypatch):
    config, base, _ = trained
    nothing = config.model_copy(update={"state": str(tmp_path / "empty")})
    monkeypatch.setattr(content_file, "embed_catalogue", lambda *_: None)
    with pytest.raises(DataError, match=r"36 of 36 items have no content vector, first i0, i1, i2, i3, i4;"):
        train(nothing, base / "data", tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


def test_an_order_is_read_as_no_time(trained, tmp_path):
    config, base, _ = trained
    log = pl.read_parquet(base / "data" / "interactions.parquet").sort("user_id", "event_timestamp")
    (tmp_path / "data").mkdir()
    shutil.copy(base / "data" / "items.parquet", tmp_path / "data")
    place = pl.int_range(pl.len()).over("user_id").alias("position")
    log.select("user_id", "item_id", place).write_parquet(tmp_path / "data" / "interactions.parquet")
    train(config, tmp_path / "data", tmp_path / "run", epochs=1)
    assert read_run(base / "run").towers.example_age
    assert not read_run(tmp_path / "run").towers.example_age


def test_processes_that_torchrun_starts_again_go_on(trained, tmp_path, monkeypatch):
    config, base, _ = trained
    with pytest.raises(Stopped):
        train(config, base / "data", tmp_path / "run", fresh=True, checkpoint_seconds=0, progress=stop_at(2))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert train(config, base / "data", tmp_path / "run", fresh=True).resumed_at == "tune 2"


def test_what_a_killed_process_left_half_written_goes(trained, tmp_path):
    config, base, _ = trained
    (tmp_path / "run").mkdir()
    for name in (".content.npy", "weights.safetensors"):
        (tmp_path / "run" / f".{name}.0123abcd.tmp").write_bytes(b"half")
    train(config, base / "data", tmp_path / "run", epochs=1)
    assert not list((tmp_path / "run").glob("*.tmp"))
