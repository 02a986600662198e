"""What every baseline is: something tuned on validation, then fitted on all before the test cut."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.evaluation.baselines.search import Tries
from learn_features.evaluation.harness import Scorer, evaluate
from learn_features.evaluation.metrics import SELECTED_BY


@dataclass(frozen=True)
class Task:
    """The data of a comparison and the terms of tuning.

    content    (items, C) of any float type, one row an item; None where there are no texts
    criterion  the metric that tuning maximises
    cases      validation cases at most, drawn by a fixed seed
    """

    split: Split
    n_items: int
    content: np.ndarray | None = None
    criterion: str = SELECTED_BY
    mask_history: bool = True
    cases: int = 5_000
    seed: int = 0

    def value(self, scorer: Scorer) -> float:
        """The criterion on the validation cases."""
        asked = self.split.validation.sample(self.cases)
        k = int(self.criterion.rpartition("_at_")[2])
        answers = evaluate({"": scorer}, asked, ks=(k,), mask_history=self.mask_history)[""]
        return float(answers.per_case(self.criterion).mean())


P = TypeVar("P", bound=Hashable)


class Baseline(Protocol[P]):
    """`tune` sees `split.train` and `split.validation` only; one that sees the clock also counts what others
    took before a request (`split.everything`)."""

    name: str
    sees_clock: bool
    """Whether scores depend on the time of the request."""
    budget_seconds: float
    """After these seconds of tuning no further parameters are tried."""

    def refusal(self, task: Task) -> str | None:
        """Why this baseline cannot run on `task`; None if it can."""

    def tune(self, task: Task, budget_seconds: float) -> Tries[P]:
        """What was tried: at least one set of parameters."""

    def fit(self, task: Task, fitted_on: Sequences, parameters: P) -> Scorer: ...
