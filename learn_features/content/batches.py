"""Texts in batches of like length, bounded by tokens."""

import numpy as np
from numpy.typing import NDArray


def by_length(lengths: NDArray[np.int64], budget: int, *, padded: bool = False) -> list[NDArray[np.int64]]:
    """Rows, longest first, in batches of at most `budget` tokens; at least one text each.

    `padded`: every text of a batch counts as long as its longest. Longest first, so that what does not fit
    into memory is seen at once and the last batches, which one worker finishes alone, are small.
    """
    order = np.argsort(-lengths, kind="stable")
    batches: list[NDArray[np.int64]] = []
    start = 0
    while start < len(order):
        rest = lengths[order[start:]]
        taken = np.arange(1, len(rest) + 1) * rest[0] if padded else np.cumsum(rest)
        count = max(1, int(np.searchsorted(taken, budget, side="right")))
        batches.append(order[start : start + count])
        start += count
    return batches


def halves(lengths: NDArray[np.int64]) -> int:
    """Where to cut a batch of texts (n,) so that both parts have about half of the tokens."""
    total = np.cumsum(lengths)
    return int(np.clip(np.searchsorted(total, total[-1] / 2) + 1, 1, len(lengths) - 1))
