"""A real run: simulated world, real encoder, real towers for an epoch, every baseline."""

import json
from pathlib import Path

import pytest

from learn_features.config import Config, EncoderConfig, TrainingConfig
from learn_features.errors import SpaceMismatch
from learn_features.evaluation.run import evaluate_run
from learn_features.simulation.world import simulate
from learn_features.training.train import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path, Path]:
    folder = tmp_path_factory.mktemp("evaluate")
    simulate(seed=1, items=150, users=120, days=20).write(folder / "data")
    config = Config(state=str(folder / "state"), training=TrainingConfig(epochs=1))
    train(config, folder / "data", folder / "run")
    return config, folder / "data", folder / "run"


def test_all_methods_on_the_same_cases(trained: tuple[Config, Path, Path]) -> None:
    config, data, run = trained
    seen: list[tuple[int, int]] = []
    result = evaluate_run(config, data, run, progress=lambda done, total: seen.append((done, total)))
    assert json.loads((run / "evaluation.json").read_text()) == result
    assert set(result["methods"]) == {"towers", "popularity", "recent_popularity", "item_cf", "content"}
    assert result["split"] == "global_time"
    assert result["winner"] in result["methods"]
    best = max(result["methods"].values(), key=lambda metrics: metrics["recall_at_10"])
    assert result["methods"][result["winner"]]["recall_at_10"] == best["recall_at_10"]
    assert result["sentence"].startswith("On Recall@10 ")
    for metrics in result["methods"].values():
        assert 0 < metrics["recall_at_10"] < metrics["recall_at_50"] < 1
    assert seen[-1] == (5 * result["test_users"], 5 * result["test_users"])
    assert evaluate_run(config, data, run)["methods"] == result["methods"]
    few = evaluate_run(config, data, run, max_cases=10)
    assert (few["test_users"], few["test_users_in_all"]) == (10, result["test_users"])


def test_another_encoder_is_refused(trained: tuple[Config, Path, Path]) -> None:
    config, data, run = trained
    other = config.model_copy(update={"encoder": EncoderConfig(template="paper")})
    with pytest.raises(SpaceMismatch, match="set encoder as it was at training"):
        evaluate_run(other, data, run)
