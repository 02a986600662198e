"""The plain ranker: both vectors are L2-normalised, so the dot product is their cosine."""

import numpy as np
from numpy.typing import NDArray

from learn_features.features.reader import RankingFeatures
from learn_features.ranking.ranked import Ranked, best


def score(user_vector: NDArray[np.float32], item_vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (n,): dot products of one user (D,) with items (n, D)."""
    return np.asarray(item_vectors @ user_vector, dtype=np.float32)


def rank(features: RankingFeatures, k: int) -> Ranked:
    """The `k` best candidates that have a vector.

    A user without a vector has no opinion: candidates keep their order with score 0 and
    `personal=False`, so that the caller can take another ranker instead.
    """
    if features.user_vector is None:
        return best(np.zeros(len(features.found), np.float32), features.found, k, personal=False)
    return best(score(features.user_vector, features.item_vectors), features.found, k, personal=True)
