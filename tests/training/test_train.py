"""`train()` on a small data set, with the real text encoder."""

import json
import logging
import shutil
from datetime import timedelta

import polars as pl
import pytest
import torch

from learn_features.config import TrainingConfig
from learn_features.contracts.history import HistoryRule
from learn_features.errors import BundleError, ConfigError, DataError, SpaceMismatch
from learn_features.towers.weights import load_towers, tensors
from learn_features.training import content_file
from learn_features.training.run import read_run
from learn_features.training.train import train
from tests.training.dataset import NOW, write_data


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


def test_a_warm_start_begins_with_the_parents_weights(trained, caplog):
    config, base, cold = trained
    warm = train(config, base / "data", base / "warm", parent=str(base / "run"), epochs=1)
    first = json.loads((base / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert warm.loss < first["loss"]
    assert warm.epochs < cold.epochs
    assert warm.validation_flatters  # the parent has learnt from it
    assert not cold.validation_flatters
    assert "validation cases: their figures flatter" in caplog.text
    assert not torch.equal(
        load_towers(base / "warm").user.alignment.adaptor.weight,
        load_towers(base / "run").user.alignment.adaptor.weight,
    )


def test_a_child_knows_what_its_parent_knew(trained, tmp_path):
    config, base, _ = trained
    short = TrainingConfig(recipe={"final": "none"}, epochs=1)
    asked = config.model_copy(update={"training": short})
    train(asked, base / "data", tmp_path / "alone")
    train(asked, base / "data", tmp_path / "child", parent=str(base / "run"))
    alone, child, parent = (
        read_run(run).trained_until for run in (tmp_path / "alone", tmp_path / "child", base / "run")
    )
    assert alone < child == parent


def test_a_parent_of_another_rule_is_refused(trained):
    config, base, _ = trained
    shorter = config.model_copy(update={"history": HistoryRule(max_length=20)})
    with pytest.raises(SpaceMismatch, match=r"another history than here \(max_length 50 → 20\)"):
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


def test_a_file_is_no_run(trained, tmp_path):
    config, base, _ = trained
    (tmp_path / "run").touch()
    with pytest.raises(ConfigError, match="run: is a file; name a folder"):
        train(config, base / "data", tmp_path / "run")


def test_a_refused_recipe_leaves_no_folder(trained, tmp_path):
    config, base, _ = trained
    other = TrainingConfig(recipe={"loss": "dense_all_action"}, towers={"example_age": True})
    with pytest.raises(ConfigError, match="set example_age to false"):
        train(config.model_copy(update={"training": other}), base / "data", tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"towers": {"widht": 32}}, r"training\.towers\.widht: Extra inputs are not permitted"),
        ({"towers": {"heads": 5}}, r"training\.towers: width 64 is not a multiple of heads 5"),
        ({"towers": {"max_length": 9}}, r"training\.towers\.max_length: is history\.max_length"),
        ({"towers": {"content_dimension": 9}}, r"content_dimension: is the encoder's; leave it out"),
        ({"towers": {"item_variant": "content"}}, r"training\.towers: item_variant content needs dimension"),
        ({"towers": {"layers": 1_000_000}}, r"training\.towers\.layers: Input should be less than"),
        ({"towers": {"has_times": False}}, r"training\.towers\.has_times: is the log's; leave it out"),
        ({"towers": {"name": "small"}}, r"training\.towers\.name: Extra inputs are not permitted"),
        ({"recipe": {"name": "small"}}, r"training\.recipe\.name: Extra inputs are not permitted"),
        ({"recipe": {"max_steps": 3, "epochs": 4}}, r"max_steps 3 must not be below epochs 4"),
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


def test_too_little_memory_says_what_to_make_smaller(trained, tmp_path, monkeypatch):
    config, base, _ = trained
    monkeypatch.setattr("learn_features.training.train.fit", lambda *args, **kwargs: torch.empty(1 << 60))
    with pytest.raises(
        ConfigError, match=r"out of memory \(.*accumulate parts.*towers.width or dimension smaller"
    ):
        train(config, base / "data", tmp_path / "run")


def test_what_a_kill_left_half_written_is_swept(trained, tmp_path):
    config, base, _ = trained
    (tmp_path / "run").mkdir()
    for name in ("metrics.jsonl", "curves.png", "run.json", "weights.safetensors"):
        (tmp_path / "run" / f".{name}.1234.tmp").write_text("half of it")
    train(config, base / "data", tmp_path / "run", epochs=1)
    assert not list((tmp_path / "run").glob(".*"))


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


def test_ages_of_an_order_are_positions(trained, tmp_path):
    config, base, _ = trained
    log = pl.read_parquet(base / "data" / "interactions.parquet").sort("user_id", "event_timestamp")
    (tmp_path / "data").mkdir()
    shutil.copy(base / "data" / "items.parquet", tmp_path / "data")
    place = pl.int_range(pl.len()).over("user_id").alias("position")
    log.select("user_id", "item_id", place).write_parquet(tmp_path / "data" / "interactions.parquet")
    train(config, tmp_path / "data", tmp_path / "run", epochs=1)
    ages = load_towers(tmp_path / "run").user.example_age.ages
    assert ages[:3].tolist() == [0, 1, 2]
    assert ages.max() < 100 < load_towers(base / "run").user.example_age.ages.max()  # positions, seconds
