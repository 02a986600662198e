"""The result of a ranking, and the one order that every ranker sorts by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ranked:
    """The best candidates, best first."""

    positions: NDArray[np.int64]
    """(k,) positions in the list of candidates."""
    scores: NDArray[np.float32]
    """(k,) their scores, descending."""
    personal: bool
    """Whether the user's own features took part; False for popularity and for users without a vector."""


def best(scores: NDArray[np.float32], usable: NDArray[np.bool_], k: int, *, personal: bool) -> Ranked:
    """The `k` best of `scores` (n,) among the `usable` (n,); ties keep the candidates' order.

    Returns fewer than `k` where fewer are usable. Raises `ValueError` for k < 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    candidates = np.flatnonzero(usable)
    order = np.argsort(-scores[candidates], kind="stable")[:k]
    positions = candidates[order].astype(np.int64)
    return Ranked(positions, scores[positions].astype(np.float32), personal)
