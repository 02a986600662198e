"""Content without alignment: the items nearest to the mean of the history's raw content vectors."""

import numpy as np
from scipy import sparse

from learn_features.data.cases import Cases
from learn_features.evaluation.harness import Scorer


def content(vectors: np.ndarray, max_length: int | None = None) -> Scorer:
    """Cosine between each item and the mean over a case's newest `max_length` history items.

    `vectors` (items, C) of any float type; each counts with length 1. None: the whole history.
    """
    unit = vectors.astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)

    def score(cases: Cases) -> np.ndarray:
        lengths = np.diff(cases.history_offsets)
        rows = np.repeat(np.arange(len(cases)), lengths)
        age = cases.history_offsets[1:][rows] - np.arange(len(rows))
        kept = age <= max_length if max_length else np.ones(len(rows), dtype=bool)
        counts = sparse.csr_array(
            (np.ones(kept.sum(), dtype=np.float32), (rows[kept], cases.history_items[kept])),
            shape=(len(cases), len(unit)),
        )
        mean = counts @ unit
        mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
        return mean @ unit.T

    return score
