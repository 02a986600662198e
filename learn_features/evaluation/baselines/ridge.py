"""Ridge regression from the weighted past to the next item.

Every interaction but a user's first is a row: x sums `decay`^(age - 1) over what came before (the newest
of age 1, at most `PREFIX` of them), y is the item itself. W = (X'X + λI)^-1 X'Y; scores = history · W.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import linalg, sparse

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.ease import loaded, too_many_items
from learn_features.evaluation.baselines.history_weights import Weight, exponential, weighted_history
from learn_features.evaluation.baselines.search import Knob, Search
from learn_features.evaluation.harness import Scorer

PREFIX = 50
AT_ONCE = 200_000
"""Interactions about, of whole users, whose pasts are in memory together: 2 kB each."""
KNOBS = (
    Knob("penalty", (30.0, 100.0, 300.0), low=0.01, high=1e6),
    Knob("decay", (0.7, 0.8, 0.9), low=0.1, high=1.0),
)


@dataclass(frozen=True)
class RidgeParameters:
    """`penalty` is λ; each step into the past weighs `decay` as much as the one before."""

    penalty: float = 100.0
    decay: float = 0.8


class Ridge:
    """λ and the decay tuned."""

    name = "ridge"
    sees_clock = False
    budget_seconds = 600.0

    def refusal(self, task: Task) -> str | None:
        return too_many_items(task)

    def tune(self, task: Task, budget_seconds: float) -> Search[RidgeParameters]:
        moments: dict[float, Moments] = {}

        def value(parameters: RidgeParameters) -> float:
            if parameters.decay not in moments:
                moments.clear()
                moments[parameters.decay] = Moments(task.split.train, task.n_items, parameters.decay)
            return task.value(moments[parameters.decay].scorer(parameters.penalty))

        search = Search[RidgeParameters](value, budget_seconds)
        search.attempt(RidgeParameters())
        search.descend(KNOBS, rounds=2)
        return search

    def fit(self, task: Task, fitted_on: Sequences, parameters: RidgeParameters) -> Scorer:
        return Moments(fitted_on, task.n_items, parameters.decay).scorer(parameters.penalty)


class Moments:
    """X'X and X'Y of one decay."""

    def __init__(self, fitted_on: Sequences, n_items: int, decay: float) -> None:
        self.n_items, self.decay = n_items, decay
        self.seen, columns = np.unique(fitted_on.items, return_inverse=True)
        width = len(self.seen)
        self.gram = np.zeros((width, width), dtype=np.float32)
        self.cross = sparse.csr_array((width, width), dtype=np.float32)
        offsets = fitted_on.offsets
        blocks = np.flatnonzero(np.diff(offsets[:-1] // AT_ONCE, prepend=-1))
        for first, last in pairwise([*blocks.tolist(), len(fitted_on)]):
            inside = slice(offsets[first], offsets[last])
            of_users = offsets[first : last + 1] - offsets[first]
            past, following = _prefixes(of_users, columns[inside], width, exponential(decay))
            self.gram += (past.T @ past).toarray()
            self.cross += past.T @ following

    def scorer(self, penalty: float) -> Scorer:
        symmetric = loaded(self.gram, penalty).T  # by columns, to be factored in place
        factor = linalg.cho_factor(symmetric, lower=True, overwrite_a=True, check_finite=False)
        coefficients = linalg.cho_solve(factor, self.cross.toarray(order="F"), overwrite_b=True)

        def score(cases: Cases) -> np.ndarray:
            history = weighted_history(cases, self.n_items, exponential(self.decay), PREFIX)
            scores = np.zeros((len(cases), self.n_items), dtype=np.float32)
            scores[:, self.seen] = history[:, self.seen] @ coefficients
            return scores

        return score


def _prefixes(
    offsets: np.ndarray, columns: np.ndarray, width: int, weight: Weight
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """X and Y, float32 (interactions, width), of users in CSR form; rows of first interactions are empty."""
    count = len(columns)
    place = np.arange(count) - np.repeat(offsets[:-1], np.diff(offsets))
    rows, past, values = [], [], []
    for distance in range(1, min(PREFIX, int(place.max(initial=0))) + 1):
        later = np.flatnonzero(place >= distance)
        rows.append(later)
        past.append(columns[later - distance])
        values.append(np.full(len(later), weight(np.array(distance)), dtype=np.float32))
    later = np.flatnonzero(place >= 1)
    shape = (count, width)
    following = (np.ones(len(later), dtype=np.float32), (later, columns[later]))
    if not rows:
        return sparse.csr_array(shape, dtype=np.float32), sparse.csr_array(following, shape=shape)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(past)))
    return sparse.csr_array(entries, shape=shape), sparse.csr_array(following, shape=shape)
