"""Whole demos, as a person runs them: on one's own machine, and against services that are there already."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from learn_features.config import CONFIG_VARIABLE
from learn_features.demo.handover import EXTERNAL_LEARN_YAML
from learn_features.demo.workspace import feature_store_settings
from learn_features.services.kafka import kafka_broker
from learn_features.services.redis import redis_server

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def run_demo(out: Path, *arguments: str, **variables: str) -> tuple[dict[str, Any], str]:
    """Summary and terminal output of `learn-features demo`."""
    environment = {k: v for k, v in os.environ.items() if k != CONFIG_VARIABLE} | variables
    done = subprocess.run(
        [sys.executable, "-m", "learn_features.cli.main", "demo", "--out", str(out), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary, done.stdout


def check_operation(summary: dict[str, Any]) -> None:
    """What must hold on any data."""
    assert summary["parity"]["max_abs_diff"] <= 1e-4
    assert 0 < summary["freshness"]["item_seconds"] <= 5
    assert 0 < summary["freshness"]["user_seconds"] <= 5
    assert summary["stream"]["events"] > 500
    assert (summary["stream"]["lost"], summary["stream"]["dead_letters"]) == (0, 0)
    assert summary["rollout"]["reads"] > 100
    assert (summary["rollout"]["errors"], summary["rollout"]["mixed"]) == (0, 0)
    assert set(summary["rollout"]["spaces_read"]) == set(summary["spaces"].values())
    assert summary["experiment"]["stable"]
    for method in ("towers", "popularity", "content", "item_cf"):
        assert all(0 <= summary["quality"][method][metric] <= 1 for metric in ("recall_at_10", "ndcg_at_10"))


def test_quick_on_redis_and_again_in_the_same_folder(tmp_path: Path) -> None:
    for _ in range(2):
        summary, _output = run_demo(tmp_path / "demo", "--quick", "--redis")
        check_operation(summary)


def test_the_printed_settings_against_services_the_demo_did_not_start(tmp_path: Path) -> None:
    assert len(EXTERNAL_LEARN_YAML.splitlines()) <= 10
    (tmp_path / "learn.yaml").write_text(EXTERNAL_LEARN_YAML)
    with kafka_broker(tmp_path / "their-kafka") as broker, redis_server(tmp_path / "their-redis") as redis:
        theirs = feature_store_settings(redis.url) | {"project": "their_project"}
        (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(theirs))
        summary, _ = run_demo(
            tmp_path / "demo",
            "--quick",
            "--external",
            str(tmp_path / "learn.yaml"),
            LEARN_KAFKA__BOOTSTRAP_SERVERS=broker.bootstrap_servers,
        )
    check_operation(summary)
    assert (tmp_path / "state" / "bundles").exists()
    assert not (tmp_path / "demo" / "kafka").exists()
    assert not (tmp_path / "demo" / "redis").exists()
