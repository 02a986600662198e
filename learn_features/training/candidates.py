"""The items that a step's softmax is over: all trained ones, or a sample that stands for them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Candidates:
    """M items of a catalogue, and what they count as negatives."""

    items: NDArray[np.int64]
    """(M,), catalogue positions, rising."""
    rows: NDArray[np.int64]
    """(catalogue,): where each item stands among `items`; -1: it does not."""
    drawn: NDArray[np.int64]
    """The same for those that are negatives; -1 as well for what only a batch's own rows need."""
    log_weights: NDArray[np.float32] | None = None
    """(M,): log of how many trained items each stands for as a negative, −inf for none; None: for itself."""


def everything(trained: NDArray[np.int64], n_items: int) -> Candidates:
    """All `trained` items (rising) of a catalogue of `n_items`."""
    rows = _rows(trained, n_items)
    return Candidates(trained, rows, rows)


def sample(
    trained: NDArray[np.int64], n_items: int, size: int, needed: NDArray[np.int64], rng: np.random.Generator
) -> Candidates:
    """`size` of the `trained` items, drawn uniformly, and all that are `needed` (repeats allowed).

    A drawn item stands for trained / size negatives, so the sum over them is right in the mean; a needed one
    that was not drawn for none. So what other rows need changes no row's loss, and a batch may be cut into
    parts.
    """
    drawn = rng.choice(trained, size=size, replace=False)
    items = np.union1d(drawn, needed)
    rows = _rows(items, n_items)
    counts = np.zeros(len(items), dtype=bool)
    counts[rows[drawn]] = True
    weights = np.where(counts, math.log(len(trained) / size), -math.inf).astype(np.float32)
    only_drawn = np.full(n_items, -1, dtype=np.int64)
    only_drawn[drawn] = rows[drawn]
    return Candidates(items, rows, only_drawn, weights)


def _rows(items: NDArray[np.int64], n_items: int) -> NDArray[np.int64]:
    rows = np.full(n_items, -1, dtype=np.int64)
    rows[items] = np.arange(len(items))
    return rows
