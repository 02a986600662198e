"""The quality gate between training and release."""

from pathlib import Path

from learn_features.config import Config
from learn_features.contracts.run_files import EVALUATION_FILE
from learn_features.errors import DataError, GateFailed
from learn_features.evaluation.metrics import JUDGED_BY
from learn_features.evaluation.written import TOWERS, read_evaluation


def check_lift(config: Config, run_folder: str | Path) -> float:
    """Recall@10 of the run's towers, as they are served, over popularity's; infinite where popularity alone
    finds nothing, 0 where the towers find nothing.

    Raises `GateFailed` below `config.training.min_lift_over_popularity`, `DataError` if it was not
    evaluated, or popularity was not.
    """
    evaluation = read_evaluation(Path(run_folder) / EVALUATION_FILE)
    methods = {**evaluation["methods"]}
    methods[TOWERS] = evaluation.get("as_served", methods[TOWERS])
    if "popularity" not in methods:
        raise DataError(
            f"{run_folder}: was evaluated without popularity, which the gate compares with; evaluate it "
            "again with that among the baselines"
        )
    towers, popularity = (methods[name][JUDGED_BY] for name in (TOWERS, "popularity"))
    lift = towers / popularity if popularity > 0 else float("inf") if towers > 0 else 0.0
    least = config.training.min_lift_over_popularity
    if lift < least:
        raise GateFailed(
            f"{run_folder}: Recall@10 of the towers is {towers:.4f}, {lift:.2f} times popularity's "
            f"{popularity:.4f}; training.min_lift_over_popularity asks for {least:.2f}"
        )
    return lift
