"""Histories as rows of a sparse matrix, newer entries weighing more."""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from learn_features.data.cases import Cases

Weight = Callable[[np.ndarray], np.ndarray]
"""Ages of history entries, the newest of age 1, → their weights."""


def power(age: float) -> Weight:
    """age^-`age`"""
    return lambda ages: ages**-age


def exponential(decay: float) -> Weight:
    """`decay`^(age - 1)"""
    return lambda ages: decay ** (ages - 1)


def weighted_history(
    cases: Cases, n_items: int, weight: Weight, newest: int | None = None
) -> sparse.csr_array:
    """float32 (n, items): Σ weight over where an item stands among the `newest` entries of a history."""
    rows = np.repeat(np.arange(len(cases)), np.diff(cases.history_offsets))
    ages = (cases.history_offsets[1:][rows] - np.arange(len(rows))).astype(np.float32)
    kept = ages <= newest if newest is not None else np.ones(len(rows), dtype=bool)
    return sparse.csr_array(
        (weight(ages[kept]), (rows[kept], cases.history_items[kept])),
        shape=(len(cases), n_items),
        dtype=np.float32,
    )
