"""How good towers are on validation cases, in the evaluation harness's own terms."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from learn_features.data.cases import Cases
from learn_features.evaluation.harness import evaluate
from learn_features.towers.model import Towers
from learn_features.towers.scoring import scorer


def validation(
    cases: Cases, content: NDArray[np.float16], max_length: int
) -> Callable[[Towers], dict[str, float]]:
    """A function from towers to their metrics at 10 on `cases`, over the whole catalogue."""

    def validate(towers: Towers) -> dict[str, float]:
        return evaluate({"towers": scorer(towers, content, max_length)}, cases)["towers"].means()

    return validate
