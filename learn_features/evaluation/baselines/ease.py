"""EASE: the best linear item-to-item model without self-votes, in closed form (Steck, WWW 2019).

With X (users, items) binary and P = (X'X + λI)^-1: B = I - P / diag(P), scores = history · B. The
history is weighed by age^-`age` (0 is EASE as published), since tastes move. Own code: it is these lines,
on items that were seen, in float32.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.history_weights import power, weighted_history
from learn_features.evaluation.baselines.search import Knob, Search
from learn_features.evaluation.harness import Scorer

MAX_ITEMS = 20_000
"""Seen items; their square is held twice here and three times by ridge: 1.6 GB each in float32."""
BLOCK = 1_024
"""Rows of a square that are worked on at a time."""
KNOBS = (
    Knob("age", (0.0, 0.5, 1.0, 1.5), low=0.0, high=6.0),
    Knob("penalty", (100.0, 300.0, 1000.0), low=1.0, high=1e6),
)
"""Ages first: they need no other matrix."""


@dataclass(frozen=True)
class EaseParameters:
    """`penalty` is λ."""

    penalty: float = 300.0
    age: float = 0.0


class Ease:
    """λ and the fading of histories tuned."""

    name = "ease"
    sees_clock = False
    budget_seconds = 600.0

    def refusal(self, task: Task) -> str | None:
        return too_many_items(task)

    def tune(self, task: Task, budget_seconds: float) -> Search[EaseParameters]:
        gram, seen = user_gram(task.split.train)
        made: dict[float, np.ndarray] = {}

        def value(parameters: EaseParameters) -> float:
            if parameters.penalty not in made:
                made.clear()
                made[parameters.penalty] = item_weights(gram, parameters.penalty)
            return task.value(_scorer(made[parameters.penalty], seen, task.n_items, parameters.age))

        search = Search[EaseParameters](value, budget_seconds)
        search.attempt(EaseParameters())
        search.descend(KNOBS, rounds=2)
        return search

    def fit(self, task: Task, fitted_on: Sequences, parameters: EaseParameters) -> Scorer:
        gram, seen = user_gram(fitted_on)
        return _scorer(item_weights(gram, parameters.penalty), seen, task.n_items, parameters.age)


def too_many_items(task: Task) -> str | None:
    """Why a model with a matrix of seen items squared cannot run; None if it can."""
    count = len(task.split.train_and_validation.taken)
    if count <= MAX_ITEMS:
        return None
    return f"{count:,} items were seen and it inverts a matrix of their square; the most is {MAX_ITEMS:,}"


def user_gram(fitted_on: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """X'X over seen items, float32 (seen, seen), and which items those are, int64 (seen,)."""
    seen, columns = np.unique(fitted_on.items, return_inverse=True)
    users = sparse.csr_array(
        (np.ones(len(columns), dtype=np.float32), (fitted_on.users, columns)),
        shape=(len(fitted_on), len(seen)),
    )
    users.data[:] = 1  # an item taken twice counts once
    taken_by = users.T.tocsr()
    gram = np.empty((len(seen), len(seen)), dtype=np.float32)
    for first in range(0, len(seen), BLOCK):
        gram[first : first + BLOCK] = (taken_by[first : first + BLOCK] @ users).toarray()
    return gram, seen


def item_weights(gram: np.ndarray, penalty: float) -> np.ndarray:
    """B, float32 (seen, seen)."""
    by_columns = loaded(gram, penalty).T  # LAPACK works in place then
    factor = linalg.cholesky(by_columns, lower=True, overwrite_a=True, check_finite=False)
    one_triangle, _ = linalg.lapack.spotri(factor, lower=True, overwrite_c=True)
    weights = np.asarray(one_triangle.T)
    for first in range(0, len(weights), BLOCK):
        rows, after = slice(first, first + BLOCK), slice(first + BLOCK, None)
        weights[after, rows] = weights[rows, after].T
        weights[rows, rows] += np.triu(weights[rows, rows], 1).T
    weights /= -np.diag(weights)
    np.fill_diagonal(weights, 0)
    return weights


def loaded(gram: np.ndarray, penalty: float) -> np.ndarray:
    """`gram` + λI, a new square."""
    sum_of_both = gram.copy()
    sum_of_both.flat[:: len(gram) + 1] += penalty
    return sum_of_both


def _scorer(votes_for: np.ndarray, seen: np.ndarray, n_items: int, age: float) -> Scorer:
    def score(cases: Cases) -> np.ndarray:
        scores = np.zeros((len(cases), n_items), dtype=np.float32)
        scores[:, seen] = weighted_history(cases, n_items, power(age))[:, seen] @ votes_for
        return scores

    return score
