"""Ranking metrics from strict ranks: whatever scores as high as the target stands before it.

A method that gives many items the same score gains nothing by it, nor by how a matrix product rounds: items
of one vector get scores that differ in the last digit, by where they stand in the table.
"""

from collections.abc import Callable

import numpy as np

SELECTED_BY = "ndcg_at_10"
"""What epochs and all that is tuned are chosen by, on validation."""
JUDGED_BY = "recall_at_10"
"""What methods are compared by, on test."""

CLOSE = 2e-6
"""Scores as near to each other, in shares of them, are the same. (Sums of D products are off by some 3e-7, so
this tells no cosines below .05 from noise, which are in no first place.)"""


def strict_ranks(scores: np.ndarray, target_offsets: np.ndarray, target_items: np.ndarray) -> np.ndarray:
    """Rank of each target among all items of its case, from 1; ties count against it.

    scores          float (n, items); NaN and -inf are last
    target_offsets  int64 (n + 1,)
    target_items    int32 (targets,); a case's other targets compete as well
    returns         int64 (targets,)
    """
    counts = np.diff(target_offsets)
    ranks = np.zeros(len(target_items), dtype=np.int64)
    for place in range(int(counts.max(initial=0))):
        cases = np.flatnonzero(counts > place)
        targets = target_offsets[cases] + place
        own = scores[cases, target_items[targets]]
        rows = scores if len(cases) == len(scores) else scores[cases]
        level = own - own.dtype.type(CLOSE) * np.where(np.isinf(own), 0, np.abs(own))
        ahead = np.count_nonzero(rows >= level[:, None], axis=1)
        ranks[targets] = np.where(own > -np.inf, ahead, scores.shape[1])
    return ranks


def items_within(scores: np.ndarray, k: int) -> np.ndarray:
    """bool (items,): has a strict rank of at most `k` in any case of `scores` (n, items) without NaN."""
    import torch  # its top-k is five times as fast as NumPy's partition

    if k >= scores.shape[1]:
        return np.asarray((scores > -np.inf).any(axis=0))
    first_beyond = torch.topk(torch.from_numpy(scores), k + 1, dim=1, sorted=True).values[:, k].numpy()
    level = first_beyond + np.where(np.isinf(first_beyond), 0, CLOSE * np.abs(first_beyond))
    return np.asarray((scores > level[:, None].astype(scores.dtype)).any(axis=0))


def recall(ranks: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
    """float64 (n,): share of a case's targets among the first k."""
    return _sum((ranks <= k).astype(np.float64), offsets) / np.diff(offsets)


def ndcg(ranks: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
    """float64 (n,): Σ 1 / log2(rank + 1) over targets up to k, over its value for a perfect ranking."""
    gains = np.where(ranks <= k, 1 / np.log2(np.maximum(ranks, 1) + 1), 0)
    ideal = np.concatenate([[0], np.cumsum(1 / np.log2(np.arange(1, k + 1) + 1))])
    return _sum(gains, offsets) / ideal[np.minimum(np.diff(offsets), k)]


def hit_rate(ranks: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
    """float64 (n,): 1 where any target is among the first k."""
    return (_sum((ranks <= k).astype(np.float64), offsets) > 0).astype(np.float64)


def mrr(ranks: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
    """float64 (n,): 1 / rank of the best target, 0 beyond k."""
    best = np.minimum.reduceat(ranks, offsets[:-1])
    return np.where(best <= k, 1 / best, 0)


METRICS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "recall": recall,
    "ndcg": ndcg,
    "hit_rate": hit_rate,
    "mrr": mrr,
}


def _sum(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Per case; every case has at least one target."""
    return np.add.reduceat(values, offsets[:-1])
