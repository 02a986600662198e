"""Item-to-item collaborative filtering: what was taken near each other belongs together.

Each item i of a history votes for item j with

    S[i, j] = C[i, j] / ((n_i + shrink)^source · (n_j + shrink)^target),

where C sums distance^-a over pairs at most `window` apart in somebody's sequence, j after i, plus
`backward` times the same for j before i, and n counts interactions. A vote weighs age^-c, the newest
history item having age 1. Own code: the item-item models of the libraries at hand know neither order,
nor distance, nor age.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.history_weights import power, weighted_history
from learn_features.evaluation.baselines.search import Knob, Search
from learn_features.evaluation.harness import Scorer

MAX_PAIRS = 30_000_000
"""Above this the window shrinks, so that counting stays within some 600 MB."""
_LAGS = 256
"""A pair and its distance, which is below this, are one number while they are sorted."""
_DENSE_SHARE = 0.1


@dataclass(frozen=True)
class ItemCFParameters:
    """The knobs; `distance` is a, `age` is c."""

    window: int = 10
    distance: float = 0.25
    backward: float = 0.8
    shrink: float = 10.0
    source: float = 0.4
    target: float = 0.2
    age: float = 0.5


STARTS = (
    ItemCFParameters(),
    ItemCFParameters(window=50, distance=0.5, backward=0.0, source=0.75, age=1.0),
)
"""Best on a set where order hardly matters, and on one where it does."""

KNOBS = (
    Knob("age", (0.25, 0.5, 1.0, 1.5), low=0.0, high=6.0),
    Knob("source", (0.2, 0.4, 0.75), low=0.0, high=4.0),
    Knob("backward", (0.0, 0.4, 0.8, 1.0)),
    Knob("distance", (0.0, 0.25, 0.5, 1.0), low=0.0, high=4.0),
    Knob("target", (0.0, 0.2, 0.4), low=0.0, high=4.0),
    Knob("window", (10, 50), low=2, high=250),
    Knob("shrink", (2.0, 10.0, 40.0), low=0.1, high=640.0),
)


class ItemCF:
    """The votes above, all seven knobs tuned."""

    name = "item_cf"
    sees_clock = False
    budget_seconds = 120.0

    def refusal(self, task: Task) -> str | None:
        return None

    def tune(self, task: Task, budget_seconds: float) -> Search[ItemCFParameters]:
        counts = PairCounts(task.split.train, task.n_items, max(start.window for start in STARTS))
        made: dict[ItemCFParameters, sparse.csr_array | np.ndarray] = {}

        def value(parameters: ItemCFParameters) -> float:
            nonlocal counts
            if parameters.window > counts.asked_window:
                counts = PairCounts(task.split.train, task.n_items, parameters.window)
            ageless = replace(parameters, age=0.0)
            if ageless not in made:
                made.clear()
                made[ageless] = counts.votes(parameters)
            return task.value(_scorer(made[ageless], task.n_items, parameters.age))

        search = Search[ItemCFParameters](value, budget_seconds)
        search.attempt(*STARTS)
        search.descend(KNOBS, rounds=2)
        return search

    def fit(self, task: Task, fitted_on: Sequences, parameters: ItemCFParameters) -> Scorer:
        return PairCounts(fitted_on, task.n_items, parameters.window).scorer(parameters)


class PairCounts:
    """Pairs of different items in the same sequence, by distance; any parameters can be read off."""

    def __init__(self, fitted_on: Sequences, n_items: int, max_window: int) -> None:
        users, items = fitted_on.users, fitted_on.items.astype(np.int64)
        self.n_items = n_items
        self.asked_window = max_window
        self.max_window = min(max_window, _LAGS - 1, max(1, MAX_PAIRS // max(1, len(items))))
        self.popularity = np.bincount(items, minlength=n_items).astype(np.float64)
        found = []
        for lag in range(1, self.max_window + 1):
            first, second = items[:-lag], items[lag:]
            same = (users[lag:] == users[:-lag]) & (first != second)
            found.append((first[same] * n_items + second[same]) * _LAGS + lag)
        by_pair = np.concatenate(found)
        del found
        by_pair.sort()
        self._lag = (by_pair % _LAGS).astype(np.uint8)
        by_pair //= _LAGS
        self._begin = np.flatnonzero(np.diff(by_pair, prepend=-1))
        self._source, self._target = np.divmod(by_pair[self._begin], n_items)

    def similarity(self, parameters: ItemCFParameters) -> sparse.csr_array:
        """S, float32 (items, items)."""
        weights = np.arange(self.max_window + 1, dtype=np.float64)
        weights[1:] = np.where(weights[1:] <= parameters.window, weights[1:] ** -parameters.distance, 0.0)
        near = np.add.reduceat(weights[self._lag], self._begin) if len(self._begin) else np.zeros(0)
        shape = (self.n_items, self.n_items)
        forward = sparse.csr_array((near, (self._source, self._target)), shape=shape)
        both = sparse.csr_array(forward + parameters.backward * forward.T)
        both.eliminate_zeros()
        smoothed = np.maximum(self.popularity + parameters.shrink, 1.0)
        rows = np.repeat(np.arange(self.n_items), np.diff(both.indptr))
        both.data /= smoothed[rows] ** parameters.source * smoothed[both.indices] ** parameters.target
        return sparse.csr_array(both, dtype=np.float32)

    def votes(self, parameters: ItemCFParameters) -> sparse.csr_array | np.ndarray:
        """S in the form that multiplies fastest; `age` has no part in it."""
        similarity = self.similarity(parameters)
        dense = similarity.nnz > _DENSE_SHARE * self.n_items**2
        return similarity.toarray() if dense else similarity

    def scorer(self, parameters: ItemCFParameters) -> Scorer:
        """Votes of a case's whole history."""
        return _scorer(self.votes(parameters), self.n_items, parameters.age)


def _scorer(votes_for: sparse.csr_array | np.ndarray, n_items: int, age: float) -> Scorer:
    def score(cases: Cases) -> np.ndarray:
        votes = weighted_history(cases, n_items, power(age)) @ votes_for
        return votes if isinstance(votes, np.ndarray) else votes.toarray()

    return score
