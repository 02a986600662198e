"""Content without alignment: the items nearest to the mean of the history's raw content vectors."""

from dataclasses import dataclass

import numpy as np

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.history_weights import power, weighted_history
from learn_features.evaluation.baselines.search import Knob, Search
from learn_features.evaluation.harness import Scorer

KNOBS = (Knob("newest", (1, 3, 5, 10, None)), Knob("age", (0.0, 0.5, 1.0), low=0.0, high=4.0))


@dataclass(frozen=True)
class MeanContentParameters:
    """The mean is over the `newest` items (None: all), each weighed by age^-`age`, the newest of age 1."""

    newest: int | None = 10
    age: float = 0.5


class MeanContent:
    """Cosine to the weighted mean of the newest items' content vectors."""

    name = "content"
    sees_clock = False
    budget_seconds = 60.0

    def refusal(self, task: Task) -> str | None:
        return "there are no content vectors" if task.content is None else None

    def tune(self, task: Task, budget_seconds: float) -> Search[MeanContentParameters]:
        search = Search[MeanContentParameters](
            lambda parameters: task.value(self.fit(task, task.split.train, parameters)), budget_seconds
        )
        search.attempt(MeanContentParameters())
        search.descend(KNOBS, rounds=2)
        return search

    def fit(self, task: Task, fitted_on: Sequences, parameters: MeanContentParameters) -> Scorer:
        if task.content is None:
            raise ValueError("mean_content needs content vectors")
        return mean_content(task.content, parameters)


def mean_content(vectors: np.ndarray, parameters: MeanContentParameters) -> Scorer:
    """`vectors` (items, C) of any float type; each counts with length 1."""
    unit = vectors.astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)

    def score(cases: Cases) -> np.ndarray:
        mean = np.asarray(weighted_history(cases, len(unit), power(parameters.age), parameters.newest) @ unit)
        mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
        return np.asarray(mean @ unit.T)

    return score
