"""An item-to-item model as a teacher: what the log's other users say about a history.

A next item is one sample; item-to-item votes are a whole distribution, and exact about pairs that few
users share, where towers of D numbers blur. Votes on a user's history come from the other folds of users
only (cross-fitting): with the user's own pairs counted, the answer would be in the question.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.ease import EaseParameters, item_weights, user_gram
from learn_features.evaluation.baselines.item_cf import ItemCFParameters, PairCounts
from learn_features.training.windows import WindowBatch

FOLDS = 10
NEIGHBOURS = 100
"""An item keeps so many votes, the heaviest: item-CF ranks as well with them, in a third of the time."""

TAUGHT_ITEMS = 100_000
"""Above so many trained items there is no teacher: ten folds of an item's votes take 8 kB."""


class ItemToItemTeacher:
    """Votes of item-CF or EASE, by their parameters, fitted on `sequences` in folds of users.

    Of EASE's weights only those above 0 are votes: what is unlikely after a history is no share of anything.
    """

    def __init__(
        self,
        sequences: Sequences,
        n_items: int,
        parameters: ItemCFParameters | EaseParameters,
        *,
        rng: np.random.Generator,
    ) -> None:
        self._age, self._n_items = parameters.age, n_items
        self.fold = rng.permutation(len(sequences)) % FOLDS
        """(users,): of each user of `sequences`."""
        owner = sequences.users
        self._votes_for = [
            _votes_for(sequences.where(self.fold[owner] != fold), n_items, parameters)
            for fold in range(FOLDS)
        ]

    def votes(self, batch: WindowBatch, columns: NDArray[np.int64], count: int) -> NDArray[np.float32]:
        """For each pair of `batch` the shares (P, `count`) that its context's votes give each column.

        `columns` (items,): the column of each item, -1 for those that are not voted on; no two items share
        one. Items of the context get none. What is left is shared out: a row sums to 1, or to 0 where nothing
        has a vote, so with few votes among the columns the heaviest of all weigh less than they should.
        """
        counts = batch.positions + 1
        pair = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
        items = batch.items[batch.rows[pair], place]
        ages = (counts[pair] - place).astype(np.float32)
        histories = sparse.csr_array(
            (ages**-self._age, _narrow(pair, items)), shape=(len(counts), self._n_items), dtype=np.float32
        )
        folds = self.fold[batch.users[batch.rows] % len(self.fold)]
        columns = np.where(columns < 0, count, columns)
        table = np.zeros((len(counts), count + 1), dtype=np.float32)  # the last column: not voted on
        for fold, votes_for in enumerate(self._votes_for):
            own = np.flatnonzero(folds == fold)
            found = histories[own] @ votes_for
            places = np.repeat(own * (count + 1), np.diff(found.indptr)) + columns[found.indices]
            table.ravel()[places] = found.data
        table[pair, columns[items]] = 0
        votes = np.ascontiguousarray(table[:, :count])
        votes /= np.maximum(votes.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return votes


def _votes_for(
    fitted_on: Sequences, n_items: int, parameters: ItemCFParameters | EaseParameters
) -> sparse.csr_array:
    """Votes (items, items) of each item, a row, for the others."""
    if isinstance(parameters, ItemCFParameters):
        return _heaviest(PairCounts(fitted_on, n_items, parameters.window).similarity(parameters))
    gram, seen = user_gram(fitted_on)
    every = item_weights(gram, parameters.penalty)
    heaviest = np.argpartition(-every, min(NEIGHBOURS, len(seen) - 1), axis=1)[:, :NEIGHBOURS]
    votes = np.take_along_axis(every, heaviest, axis=1)
    rows, places = np.nonzero(votes > 0)
    return sparse.csr_array(
        (votes[rows, places], _narrow(seen[rows], seen[heaviest[rows, places]])), shape=(n_items, n_items)
    )


def _heaviest(votes: sparse.csr_array) -> sparse.csr_array:
    """The `NEIGHBOURS` largest entries of each row."""
    counts = np.diff(votes.indptr)
    rows = np.repeat(np.arange(votes.shape[0]), counts)
    order = np.lexsort((-votes.data, rows))
    place = np.arange(len(order)) - np.repeat(votes.indptr[:-1], counts)
    kept = order[place < NEIGHBOURS]
    return sparse.csr_array((votes.data[kept], _narrow(rows[kept], votes.indices[kept])), shape=votes.shape)


def _narrow(rows: NDArray[np.integer], columns: NDArray[np.integer]) -> tuple[NDArray, NDArray]:
    """In half the memory: scipy keeps indices as wide as they come."""
    return rows.astype(np.int32), columns.astype(np.int32)
