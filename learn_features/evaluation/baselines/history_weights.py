"""Histories as rows of a sparse matrix, newer entries weighing more."""

import numpy as np
from scipy import sparse

from learn_features.data.cases import Cases


def weighted_history(cases: Cases, n_items: int, age: float, newest: int | None = None) -> sparse.csr_array:
    """float32 (n, items): Σ age^-`age` over where an item stands in a history, the newest entry of age 1."""
    rows = np.repeat(np.arange(len(cases)), np.diff(cases.history_offsets))
    ages = (cases.history_offsets[1:][rows] - np.arange(len(rows))).astype(np.float32)
    kept = ages <= newest if newest is not None else np.ones(len(rows), dtype=bool)
    return sparse.csr_array(
        (ages[kept] ** -age, (rows[kept], cases.history_items[kept])),
        shape=(len(cases), n_items),
        dtype=np.float32,
    )
