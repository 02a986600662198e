"""Item-to-item collaborative filtering: what was taken near each other belongs together.

Each item i of a history votes for item j with

    S[i, j] = C[i, j] / ((n_i + shrink)^source · (n_j + shrink)^target),

where C sums distance^-a over pairs at most `window` apart in somebody's sequence, j after i, plus
`backward` times the same for j before i, and n counts interactions. A vote weighs age^-c, the newest
history item having age 1.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.harness import Scorer

MAX_PAIRS = 30_000_000
"""Above this the window shrinks, so that counting stays within some 600 MB."""
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


class PairCounts:
    """Pairs of different items in the same sequence, by distance; any parameters can be read off."""

    def __init__(self, fitted_on: Sequences, n_items: int, max_window: int) -> None:
        users, items = fitted_on.users, fitted_on.items.astype(np.int64)
        self.n_items = n_items
        self.max_window = min(max_window, max(1, MAX_PAIRS // max(1, len(items))))
        self.popularity = np.bincount(items, minlength=n_items).astype(np.float64)
        keys, lags = [], []
        for lag in range(1, self.max_window + 1):
            first, second = items[:-lag], items[lag:]
            same = (users[lag:] == users[:-lag]) & (first != second)
            keys.append(first[same] * n_items + second[same])
            lags.append(np.full(int(same.sum()), lag, dtype=np.uint16))
        unique, self._pair = np.unique(np.concatenate(keys), return_inverse=True)
        self._lag = np.concatenate(lags)
        self._source, self._target = unique // n_items, unique % n_items

    def similarity(self, parameters: ItemCFParameters) -> sparse.csr_array:
        """S, float32 (items, items)."""
        weights = np.arange(self.max_window + 1, dtype=np.float64)
        weights[1:] = np.where(weights[1:] <= parameters.window, weights[1:] ** -parameters.distance, 0.0)
        near = np.bincount(self._pair, weights=weights[self._lag], minlength=len(self._source))
        shape = (self.n_items, self.n_items)
        forward = sparse.csr_array((near, (self._source, self._target)), shape=shape)
        both = sparse.csr_array(forward + parameters.backward * forward.T)
        both.eliminate_zeros()
        smoothed = np.maximum(self.popularity + parameters.shrink, 1.0)
        rows = np.repeat(np.arange(self.n_items), np.diff(both.indptr))
        both.data /= smoothed[rows] ** parameters.source * smoothed[both.indices] ** parameters.target
        return sparse.csr_array(both, dtype=np.float32)

    def scorer(self, parameters: ItemCFParameters) -> Scorer:
        """Votes of a case's whole history."""
        similarity = self.similarity(parameters)
        votes_for: sparse.csr_array | np.ndarray = similarity
        if similarity.nnz > _DENSE_SHARE * self.n_items**2:
            votes_for = similarity.toarray()

        def score(cases: Cases) -> np.ndarray:
            lengths = np.diff(cases.history_offsets)
            rows = np.repeat(np.arange(len(cases)), lengths)
            age = (cases.history_offsets[1:][rows] - np.arange(len(rows))).astype(np.float32)
            history = sparse.csr_array(
                (age**-parameters.age, (rows, cases.history_items)), shape=(len(cases), self.n_items)
            )
            votes = history @ votes_for
            return votes if isinstance(votes, np.ndarray) else votes.toarray()

        return score


def item_cf(fitted_on: Sequences, n_items: int, parameters: ItemCFParameters) -> Scorer:
    """Fit on `fitted_on` and score."""
    return PairCounts(fitted_on, n_items, parameters.window).scorer(parameters)
