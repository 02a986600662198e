"""How good a model is on validation cases, in the evaluation harness's own terms."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from learn_features.data.cases import Cases
from learn_features.evaluation.harness import evaluate
from learn_features.towers.scoring import scorer
from learn_features.training.trained import Trained


def validation(
    cases: Cases, content: NDArray[np.float16], max_length: int
) -> Callable[[Trained], dict[str, float]]:
    """A function from a model to its metrics at 10 on `cases`, over the whole catalogue."""

    def validate(model: Trained) -> dict[str, float]:
        score = scorer(model.towers, content, max_length, model.by_item())
        return evaluate({"towers": score}, cases)["towers"].means()

    return validate
