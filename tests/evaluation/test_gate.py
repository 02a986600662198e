"""What the gate lets pass."""

import json
from pathlib import Path

import pytest

from learn_features.config import Config
from learn_features.errors import DataError, GateFailed
from learn_features.evaluation.gate import check_lift


def evaluated(folder: Path, **recalls: float) -> Path:
    methods = {name: {"recall_at_10": value} for name, value in recalls.items()}
    (folder / "evaluation.json").write_text(json.dumps({"weights_sha256": "0", "methods": methods}))
    return folder


def test_towers_as_good_as_popularity_pass_worse_ones_do_not(tmp_path: Path) -> None:
    assert check_lift(Config(), evaluated(tmp_path, towers=0.3, popularity=0.2)) == pytest.approx(1.5)
    assert check_lift(Config(), evaluated(tmp_path, towers=0.2, popularity=0.2)) == 1.0
    assert check_lift(Config(), evaluated(tmp_path, towers=0.1, popularity=0.0)) == float("inf")
    with pytest.raises(GateFailed, match=r"0\.1000, 0\.50 times popularity's 0\.2000"):
        check_lift(Config(), evaluated(tmp_path, towers=0.1, popularity=0.2))


def test_towers_that_find_nothing_do_not_pass(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match=r"0\.0000, 0\.00 times"):
        check_lift(Config(), evaluated(tmp_path, towers=0.0, popularity=0.0))


def test_a_run_must_have_been_evaluated(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"evaluation\.json: is not there; run `learn-features evaluate`"):
        check_lift(Config(), tmp_path)
    (tmp_path / "evaluation.json").write_text("{}")
    with pytest.raises(DataError, match=r"evaluation\.json: is no evaluation"):
        check_lift(Config(), tmp_path)


def test_popularity_must_have_been_evaluated(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="evaluated without popularity"):
        check_lift(Config(), evaluated(tmp_path, towers=0.1, item_cf=0.2))
