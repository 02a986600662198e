"""The quality gate between training and release."""

import json
from pathlib import Path
from typing import Any

from learn_features.config import Config
from learn_features.contracts.run_files import EVALUATION_FILE
from learn_features.errors import DataError, GateFailed

METRIC = "recall_at_10"


def read_evaluation(run_folder: str | Path) -> dict[str, Any]:
    """What `evaluate_run` wrote for a run. Raises `DataError` if it is not there."""
    file = Path(run_folder) / EVALUATION_FILE
    try:
        evaluation: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error}); evaluate the run first") from None
    return evaluation


def check_lift(config: Config, run_folder: str | Path) -> float:
    """Recall@10 of the run's towers, as they are served, over popularity's; infinite where popularity alone
    finds nothing, 0 where the towers find nothing.

    Raises `GateFailed` below `config.training.min_lift_over_popularity`, `DataError` if popularity was not
    evaluated.
    """
    evaluation = read_evaluation(run_folder)
    methods = {**evaluation["methods"]}
    methods["towers"] = evaluation.get("as_served", methods["towers"])
    if "popularity" not in methods:
        raise DataError(
            f"{run_folder}: was evaluated without popularity, which the gate compares with; evaluate it "
            "again with that among the baselines"
        )
    towers, popularity = (methods[name][METRIC] for name in ("towers", "popularity"))
    lift = towers / popularity if popularity > 0 else float("inf") if towers > 0 else 0.0
    least = config.training.min_lift_over_popularity
    if lift < least:
        raise GateFailed(
            f"{run_folder}: Recall@10 of the towers is {towers:.4f}, {lift:.2f} times popularity's "
            f"{popularity:.4f}; training.min_lift_over_popularity asks for {least:.2f}"
        )
    return lift
