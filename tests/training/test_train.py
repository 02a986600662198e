"""`train()` on a small data set, with the real text encoder."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import torch

from learn_features.config import Config, TrainingConfig
from learn_features.contracts.history import HistoryRule
from learn_features.data.tables import write_dataset
from learn_features.errors import BundleError, ConfigError, DataError, SpaceMismatch
from learn_features.towers.weights import load_towers, tensors
from learn_features.training.run import read_run
from learn_features.training.train import train

KINDS = ("garden hose", "guitar string", "running shoe", "coffee grinder")
NOW = datetime(2024, 5, 1, tzinfo=UTC)


def write_data(folder, users: int = 24, length: int = 8):
    """Users who stay with one kind of thing, an interaction an hour; one more with a single one."""
    names = [f"{word} {kind}" for kind in KINDS for word in ("red", "steel", "small", "old", "long")]
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(len(names))], "title": names})
    rows = [
        (
            f"u{user}",
            f"i{(user % 4) * 5 + (user // 4 + step * 2) % 5}",
            NOW + timedelta(hours=step, minutes=user),
        )
        for user in range(users)
        for step in range(length)
    ]
    rows.append(("lonely", "i3", NOW))
    interactions = pl.DataFrame(
        rows,
        schema={"user_id": pl.String, "item_id": pl.String, "event_timestamp": pl.Datetime("us", "UTC")},
        orient="row",
    )
    write_dataset(folder, items, interactions)


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
    assert not (base / "refused").exists()


def test_unknown_preset(trained):
    config, base, _ = trained
    wrong = config.model_copy(update={"training": TrainingConfig(preset="huge")})
    with pytest.raises(ConfigError, match="huge is unknown"):
        train(wrong, base / "data", base / "refused")


def test_nothing_to_learn_from(trained, tmp_path):
    config, _, _ = trained
    write_data(tmp_path / "data", users=4, length=1)
    with pytest.raises(DataError, match=r"validation|two interactions"):
        train(config, tmp_path / "data", tmp_path / "run")


def test_an_unfinished_run_is_no_run(trained, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match=r"run\.json: cannot be read"):
        read_run(tmp_path)
