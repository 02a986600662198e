"""A real run: simulated world, real encoder, real towers for an epoch, every baseline."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from learn_features.cli.main import app
from learn_features.config import CONFIG_VARIABLE, Config, EncoderConfig, TrainingConfig
from learn_features.content.embed import load_content
from learn_features.data.item_index import ItemIndex
from learn_features.data.splits import split
from learn_features.data.tables import read_dataset
from learn_features.errors import BundleError, ConfigError, GateFailed, LearnFeaturesError, SpaceMismatch
from learn_features.evaluation import run as evaluation_run
from learn_features.evaluation.baselines import registry
from learn_features.evaluation.gate import check_lift
from learn_features.evaluation.harness import evaluate
from learn_features.evaluation.run import evaluate_run
from learn_features.simulation.world import simulate
from learn_features.towers.scoring import tower_scorer
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


def test_other_data_than_the_runs_are_refused(trained: tuple[Config, Path, Path], tmp_path: Path) -> None:
    config, data, run = trained
    log = pl.read_parquet(data / "interactions.parquet").sort("event_timestamp")
    shutil.copy(data / "items.parquet", tmp_path)
    log.head(log.height * 3 // 4).write_parquet(tmp_path / "interactions.parquet")
    with pytest.raises(ConfigError, match="was trained on other data than"):
        evaluate_run(config, tmp_path, run)


@pytest.mark.parametrize("cause", ["name", "weights", "digests", "encoder", "folder"])
def test_what_is_wrong_is_said_before_anything_is_tuned(
    trained: tuple[Config, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    config, data, run = trained
    run = Path(shutil.copytree(run, tmp_path / "run"))
    names, said = ("popularity",), {
        "name": "baseline 'esae' is unknown",
        "weights": "weights or residuals are not those",
        "digests": r"run\.json: does not say on what data",
        "encoder": r"run: is damaged, or of another release \(encoder",
        "folder": r"evaluation\.json cannot be written there",
    }  # fmt: skip
    if cause == "name":
        names = ("popularity", "esae")
    elif cause == "weights":
        whole = (run / "weights.safetensors").read_bytes()
        (run / "weights.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 0x80]))
    elif cause in ("digests", "encoder"):
        about = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**about, cause: None}))
    else:  # nothing is read-only to root
        monkeypatch.setattr(evaluation_run.os, "access", lambda *_: False)
    monkeypatch.setattr(evaluation_run, "load_content", lambda *_: pytest.fail("something was embedded"))
    monkeypatch.setattr(registry, "_tuned", lambda *_: pytest.fail("something was tuned"))
    with pytest.raises(LearnFeaturesError, match=said[cause]):
        evaluate_run(config, data, run, baselines=names)


def test_a_bundle_is_not_evaluated(trained: tuple[Config, Path, Path], tmp_path: Path) -> None:
    config, data, run = trained
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    about = json.loads((run / "run.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**about, "files": {}}))
    with pytest.raises(BundleError, match="is a bundle; evaluate the training run"):
        evaluate_run(config, data, bundle)
    assert [file.name for file in bundle.iterdir()] == ["manifest.json"]


def test_what_a_run_reports_beside_the_means(trained: tuple[Config, Path, Path]) -> None:
    config, data, run = trained
    lines: list[str] = []
    names = ("popularity", "content", "item_cf")
    result = evaluate_run(config, data, run, baselines=names, on_baseline=lines.append)
    assert set(result["methods"]) == {"towers", *names}
    assert result["mask_history"] is True
    for name, metrics in result["methods"].items():
        interval = result["intervals"][name]["recall_at_10"]
        assert interval["value"] == pytest.approx(metrics["recall_at_10"])
        assert interval["low"] < interval["value"] < interval["high"]
        assert 0 < metrics["coverage_at_10"] <= metrics["coverage_at_50"] <= 1
    for name, difference in result["towers_minus"].items():
        expected = result["methods"]["towers"]["ndcg_at_10"] - result["methods"][name]["ndcg_at_10"]
        assert difference["ndcg_at_10"]["value"] == pytest.approx(expected)
    parts = result["slices"]
    deciles = [part for name, part in parts.items() if name.startswith("user_decile_")]
    assert sum(part["cases"] for part in deciles) == result["test_users"]
    tail, head = parts["long_tail_items"], parts["popular_items"]
    assert tail["methods"]["popularity"]["recall_at_10"] < head["methods"]["popularity"]["recall_at_10"]
    assert result["baselines"]["popularity"]["sees_clock"] is False
    assert result["baselines"]["item_cf"]["fits"] > 10
    assert [line.split(":")[0] for line in lines[::2]] == list(names)

    unmasked = evaluate_run(config, data, run, baselines=("popularity",), mask_history=False)
    assert unmasked["mask_history"] is False
    assert unmasked["methods"]["towers"] != result["methods"]["towers"]


def test_another_split_than_the_runs_is_refused(trained: tuple[Config, Path, Path]) -> None:
    config, data, run = trained
    with pytest.raises(ConfigError, match="was trained on the split global_time; on leave_one_out its"):
        evaluate_run(config, data, run, kind="leave_one_out")
    same = evaluate_run(config, data, run, kind="global_time", baselines=("popularity",), max_cases=20)
    assert same["split"] == "global_time"


def test_a_run_trained_on_leave_one_out_is_asked_so(
    trained: tuple[Config, Path, Path], tmp_path: Path
) -> None:
    config, data, _ = trained
    leaving = config.model_copy(update={"training": TrainingConfig(epochs=1, split="leave_one_out")})
    train(leaving, data, tmp_path)
    result = evaluate_run(config, data, tmp_path)
    assert result["split"] == "leave_one_out"
    assert "recent_popularity" in result["methods"]  # there are times all the same

    dataset = read_dataset(data, leaving.data)
    index = ItemIndex(dataset.items["item_id"])
    asked = split(dataset, index, leaving.history, "leave_one_out").test
    score = tower_scorer(tmp_path, load_content(leaving, dataset.items), index.ids)
    at_end = evaluate({"": score}, replace(asked, ages_us=np.zeros(len(asked), dtype=np.int64)))[""]
    served = result["as_served"]
    assert served["recall_at_10"] == pytest.approx(at_end.means()["recall_at_10"])
    assert served["ndcg_at_10"] != result["methods"]["towers"]["ndcg_at_10"]
    assert result["intervals"]["as_served"]["ndcg_at_10"]["value"] == pytest.approx(served["ndcg_at_10"])
    assert f"as a bundle is served, the towers have {served['recall_at_10']:.4f}" in result["sentence"]


def test_the_gate_goes_by_what_is_served(tmp_path: Path) -> None:
    methods = {"towers": {"recall_at_10": 0.3}, "popularity": {"recall_at_10": 0.2}}
    found = {"weights_sha256": "", "methods": methods, "as_served": {"recall_at_10": 0.1}}
    (tmp_path / "evaluation.json").write_text(json.dumps(found))
    with pytest.raises(GateFailed, match=r"0\.1000, 0\.50 times popularity's 0\.2000"):
        check_lift(Config(), tmp_path)


def test_the_command_prints_split_mask_and_slices(
    trained: tuple[Config, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, data, run = trained
    settings = run.parent / "learn.yaml"
    settings.write_text(f"state: {config.state}\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(settings))
    monkeypatch.setenv("COLUMNS", "200")
    arguments = ["evaluate", str(data), str(run), "--max-users", "30"]
    shown = CliRunner().invoke(app, [*arguments, "--baselines", "popularity,ease", "--slices"])
    assert shown.exit_code == 0, shown.output
    for text in ("global time, 30 users", "history masked", "coverage", "EASE", "long tail items"):
        assert text in shown.output
    asked = CliRunner().invoke(
        app, [*arguments, "--json", "--no-mask-history", "--baselines", "popularity", "--split", "auto"]
    )
    assert json.loads(asked.stdout)["mask_history"] is False


def test_another_encoder_is_refused(trained: tuple[Config, Path, Path]) -> None:
    config, data, run = trained
    other = config.model_copy(update={"encoder": EncoderConfig(template="paper")})
    with pytest.raises(SpaceMismatch, match="set encoder as it was at training"):
        evaluate_run(other, data, run)


def test_other_texts_than_the_runs_are_said(
    trained: tuple[Config, Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, data, run = trained
    folder = shutil.copytree(run, tmp_path / "run")
    shutil.copytree(data, tmp_path / "data")
    assert not evaluate_run(config, data, folder, baselines=("popularity",))["warnings"]
    items = pl.read_parquet(data / "items.parquet")
    items.with_columns(pl.col("title").reverse()).write_parquet(tmp_path / "data" / "items.parquet")
    result = evaluate_run(config, tmp_path / "data", folder, baselines=("popularity",))
    assert "trained on other content vectors" in result["warnings"][-1]
    assert "trained on other content vectors" in caplog.text


def test_a_catalogue_that_fits_the_places_is_said(
    trained: tuple[Config, Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config, data, folder = trained
    monkeypatch.setattr(evaluation_run, "KS", (150, 10, 50))
    said = "150 items are all in the first 150 places"
    assert said in evaluate_run(config, data, folder, baselines=("popularity",))["warnings"][-1]
    assert said in caplog.text
    monkeypatch.setattr(evaluation_run, "KS", (149, 10, 50))
    assert not evaluate_run(config, data, folder, baselines=("popularity",))["warnings"]
