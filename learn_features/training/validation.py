"""How good a model is on validation cases, in the evaluation harness's own terms, and whether it is one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learn_features.data.cases import Cases
from learn_features.evaluation.harness import evaluate
from learn_features.towers.scoring import case_vectors, item_vectors, scorer
from learn_features.training.trained import Trained

PROBED = 64
"""Cases whose vectors show that towers of finite weights make finite ones."""


def validation(cases: Cases, content: NDArray[np.float16]) -> Callable[[Trained], dict[str, float]]:
    """A function from a model to its metrics at 10 on `cases`, over the whole catalogue."""

    def validate(model: Trained) -> dict[str, float]:
        score = scorer(model.towers, content, model.by_item())
        return evaluate({"towers": score}, cases)["towers"].means()

    return validate


def vectors_finite(model: Trained, content: Tensor, cases: Cases) -> bool:
    """Whether the vectors of a few users and of their items are numbers; `content` (n items, C).

    No loss says so of the last step, and huge weights overflow only where they are used.
    """
    cases = cases.select(slice(PROBED))
    items, history = np.unique(cases.history_items, return_inverse=True)
    if not len(items):
        return True
    rows = torch.from_numpy(items.astype(np.int64))
    table, beside = content[rows], model.by_item(rows.to(model.device))
    users = case_vectors(model.towers, table, replace(cases, history_items=history.astype(np.int32)), beside)
    made = (item_vectors(model.towers, table, beside), users)
    return all(bool(torch.isfinite(vectors).all()) for vectors in made)
