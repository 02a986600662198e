"""Exact retrieval: the best items of a whole catalogue for many users, in blocks of bounded memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SCORES_PER_BLOCK = 16_000_000


def top_k(
    user_vectors: NDArray[np.float32],
    item_vectors: NDArray[np.float32],
    k: int,
    exclude: Sequence[NDArray[np.int64]] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions (B, k) int64 and scores (B, k) float32 of the best items, best first, ties by position.

    `user_vectors` (B, D) and `item_vectors` (n, D) float32; `exclude` holds positions of items per user
    that must not be returned. Where fewer than k items remain, position −1 and score −inf follow.
    """
    users, items = len(user_vectors), len(item_vectors)
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    if exclude is not None and len(exclude) != users:
        raise ValueError(f"exclude has {len(exclude)} entries for {users} users")
    positions = np.full((users, k), -1, np.int64)
    scores = np.full((users, k), -np.inf, np.float32)
    block = max(1, _SCORES_PER_BLOCK // max(1, items))
    for start in range(0, users, block):
        stop = min(start + block, users)
        dots = user_vectors[start:stop] @ item_vectors.T
        if exclude is not None:
            for row, hidden in enumerate(exclude[start:stop]):
                dots[row, hidden] = -np.inf
        _best_of_block(dots, positions[start:stop], scores[start:stop])
    return positions, scores


def _best_of_block(
    dots: NDArray[np.float32], positions: NDArray[np.int64], scores: NDArray[np.float32]
) -> None:
    """Fill `positions` and `scores` (b, k) from `dots` (b, n)."""
    items = dots.shape[1]
    k = min(positions.shape[1], items)
    if k == 0:
        return
    # The k-th best score bounds the candidates; all that tie with it stay in, so that ties are exact.
    bound = np.partition(dots, items - k, axis=1)[:, items - k]
    for row in range(len(dots)):
        candidates = np.flatnonzero(dots[row] >= bound[row])
        order = candidates[np.argsort(-dots[row, candidates], kind="stable")[:k]]
        kept = order[np.isfinite(dots[row, order])]
        positions[row, : len(kept)] = kept
        scores[row, : len(kept)] = dots[row, kept]
