"""What is popular, the same for everybody."""

from dataclasses import dataclass

import numpy as np

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.search import Search
from learn_features.evaluation.harness import Scorer


@dataclass(frozen=True)
class PopularityParameters:
    """There is nothing to tune."""


class Popularity:
    """Interactions of each item, ever."""

    name = "popularity"
    sees_clock = False
    budget_seconds = 10.0

    def refusal(self, task: Task) -> str | None:
        return None

    def tune(self, task: Task, budget_seconds: float) -> Search[PopularityParameters]:
        search = Search[PopularityParameters](
            lambda parameters: task.value(self.fit(task, task.split.train, parameters)), budget_seconds
        )
        search.attempt(PopularityParameters())
        return search

    def fit(self, task: Task, fitted_on: Sequences, parameters: PopularityParameters) -> Scorer:
        return popularity(fitted_on, task.n_items)


def popularity(fitted_on: Sequences, n_items: int) -> Scorer:
    """Interactions of each item in `fitted_on`."""
    counts = np.bincount(fitted_on.items, minlength=n_items).astype(np.float32)

    def score(cases: Cases) -> np.ndarray:
        return np.broadcast_to(counts, (len(cases), n_items))

    return score
