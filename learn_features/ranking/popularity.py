"""The ranker without embeddings: how often an item was interacted with, up to its row's `as_of`."""

import numpy as np

from learn_features.contracts import names
from learn_features.features.reader import RankingFeatures
from learn_features.ranking.ranked import Ranked, best


def rank(features: RankingFeatures, k: int) -> Ranked:
    """The `k` most popular candidates; an item nobody has touched yet counts 0."""
    counts = np.nan_to_num(np.asarray(features.values[names.POPULARITY], dtype=np.float32), nan=0.0)
    return best(counts, np.ones(len(counts), bool), k, personal=False)
