"""The command line, from a data folder to a slot."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from learn_features.cli.main import app
from learn_features.config import CONFIG_VARIABLE, Config
from learn_features.errors import CheckpointError, DeploymentError

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def test_from_a_bundle_to_a_slot(
    config: Config, make_towers: Callable, fill_log: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "learn.yaml"
    encoder = {"template": config.encoder.template, "max_tokens": config.encoder.max_tokens}
    settings.write_text(
        json.dumps({"state": config.state, "feature_store": str(config.feature_store), "encoder": encoder})
    )
    monkeypatch.setenv(CONFIG_VARIABLE, str(settings))

    def run(*arguments: str) -> dict:
        result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    assert run("init")["filled"] is True
    towers = make_towers()
    fill_log(["a", "b"], [("ada", "a", NOON)])
    with pytest.raises(CheckpointError, match="nothing starts empty"):
        run("init")
    assert run("spaces", "begin", towers.uri) == {"space_id": towers.space_id, "state": "filling"}
    assert run("spaces", "fill", towers.space_id, "--wait", "0")["users"] == 1
    assert run("spaces", "ready", towers.space_id)["problems"] == []
    ranker = f"dot-product__{towers.space_id}"
    assert run("spaces", "promote", ranker)["ranker"] == ranker
    with pytest.raises(DeploymentError, match="no previous ranker"):
        run("spaces", "rollback")
    assert run("backfill", towers.space_id)["items"] == 2
    assert run("spaces", "list")["slots"] == {"ranking": {"ranker": ranker, "previous": None}}
    shown = CliRunner().invoke(app, ["spaces", "list"]).stdout
    assert towers.space_id in shown
    assert "ready" in shown
