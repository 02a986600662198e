"""What is popular, the same for everybody."""

import math
from dataclasses import dataclass

import numpy as np

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.recent_popularity import DAY_US
from learn_features.evaluation.baselines.search import Knob, Search
from learn_features.evaluation.harness import Scorer

HALF_LIFE = Knob("half_life_days", (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0), low=1 / 24, high=3650.0)


@dataclass(frozen=True)
class PopularityParameters:
    """In `half_life_days` before the end of the log an interaction loses half of its weight; None: none."""

    half_life_days: float | None = None


class Popularity:
    """Interactions of each item, of which older ones may count less: where there are times, that is tuned.

    The end of what is fitted on is the same for every request, so no clock is needed to serve it.
    """

    name = "popularity"
    sees_clock = False
    budget_seconds = 60.0

    def refusal(self, task: Task) -> str | None:
        return None

    def tune(self, task: Task, budget_seconds: float) -> Search[PopularityParameters]:
        search = Search[PopularityParameters](
            lambda parameters: task.value(self.fit(task, task.split.train, parameters)), budget_seconds
        )
        search.attempt(PopularityParameters())
        if task.split.has_times:
            search.along(HALF_LIFE)
        return search

    def fit(self, task: Task, fitted_on: Sequences, parameters: PopularityParameters) -> Scorer:
        return popularity(fitted_on, task.n_items, parameters.half_life_days)


def popularity(fitted_on: Sequences, n_items: int, half_life_days: float | None = None) -> Scorer:
    """`faded_counts` for everybody."""
    counts = faded_counts(fitted_on, n_items, half_life_days).astype(np.float32)

    def score(cases: Cases) -> np.ndarray:
        return np.broadcast_to(counts, (len(cases), n_items))

    return score


def faded_counts(log: Sequences, n_items: int, half_life_days: float | None) -> np.ndarray:
    """Σ 2^-(age / half life) over the interactions with each item, ages at the end of `log`; float64
    (items,)."""
    half_life_us = math.inf if half_life_days is None else half_life_days * DAY_US
    weights = 2.0 ** ((log.times_us - log.newest_us) / half_life_us)
    return np.bincount(log.items, weights=weights, minlength=n_items)
