"""`simulate` and `check` on the command line."""

import json
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from learn_features.cli import data
from learn_features.errors import DataError


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    data.register(app)
    return app


SMALL = ["--items", "120", "--users", "60", "--days", "10"]


def test_simulate_then_check(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = CliRunner().invoke(app, ["simulate", str(tmp_path / "w"), "--seed", "5", *SMALL, "--json"])
    assert made.exit_code == 0, made.output
    figures = json.loads(made.stdout)
    assert figures["items"] == 120
    assert pl.read_parquet(tmp_path / "w/interactions.parquet").height == figures["interactions"]
    checked = CliRunner().invoke(app, ["check", str(tmp_path / "w"), "--json"])
    report = json.loads(checked.stdout)
    assert report["interactions"] == figures["interactions"]
    assert report["has_times"] is True
    assert report["warnings"] == []
    table = CliRunner().invoke(app, ["check", str(tmp_path / "w")])
    assert "global_time" in table.stdout


def test_check_warns_and_fails(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, ["simulate", str(tmp_path), *SMALL])
    items = pl.read_parquet(tmp_path / "items.parquet")
    items.filter(pl.col("item_id") != "item-000007").write_parquet(tmp_path / "items.parquet")
    warned = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert warned.exit_code == 0
    assert "item-000007" in warned.stdout
    log = pl.read_parquet(tmp_path / "interactions.parquet")
    odd = {"item-000007": "[red]\x1b[/]"}
    log.with_columns(pl.col("item_id").replace(odd)).write_parquet(tmp_path / "interactions.parquet")
    as_it_is = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert as_it_is.exit_code == 0, as_it_is.exception
    assert r"'[red]\x1b[/]'" in as_it_is.stdout.replace("\n", "")
    items.with_columns(pl.lit("same").alias("item_id")).write_parquet(tmp_path / "items.parquet")
    failed = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert isinstance(failed.exception, DataError)
    assert "120 of 120 rows repeat an id" in str(failed.exception)


def test_check_asks_as_training_does(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the split of the settings or of the option, and whether there is anything to learn from."""
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"item_id": [1, 2, 3, 4], "title": ["a", "b", "c", "d"]}).write_csv("items.csv")
    log = {"user_id": [1, 1, 1, 1, 2, 2, 2, 2], "item_id": [1, 2, 3, 4] * 2, "position": [0, 1, 2, 3] * 2}
    whole = pl.DataFrame(log)
    whole.filter(pl.col("position") < 3).write_csv("interactions.csv")
    short = CliRunner().invoke(app, ["check", "."])
    assert "interactions.csv: none of 2 users has two" in str(short.exception)
    whole.write_csv("interactions.csv")
    assert CliRunner().invoke(app, ["check", "."]).exit_code == 0
    by_time = CliRunner().invoke(app, ["check", ".", "--split", "global_time"])
    assert "needs event_timestamp" in str(by_time.exception)
    Path("learn.yaml").write_text("training: {split: global_time}")
    assert "needs event_timestamp" in str(CliRunner().invoke(app, ["check", "."]).exception)
