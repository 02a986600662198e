"""The items that a step's softmax is over: all trained ones, or a sample that stands for them, and beside
them some that nobody took."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

UNTAKEN_ITEMS = 1_000
"""As many items that nobody took are in a step at most."""


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
    """(M,): log of how many items each stands for as a negative, −inf for none; None: for itself."""


class Catalogue:
    """What candidates are drawn from.

    Args:
        trained: items (n,) that are targets, rising; each counts as one negative.
        untaken: items that are in the catalogue and in no sequence, rising. Towers that never saw their
            texts may rank them anywhere, so they are negatives as well, but each only `untaken_weight` of
            one: a new item may be among them.
        n_items: of the whole catalogue.
        size: trained items in a step at most.
    """

    def __init__(
        self,
        trained: NDArray[np.int64],
        untaken: NDArray[np.int64],
        n_items: int,
        *,
        size: int,
        untaken_weight: float,
    ) -> None:
        self._n_items = n_items
        parts = ((trained, size, 1.0), (untaken, UNTAKEN_ITEMS, untaken_weight))
        self._parts = [part for part in parts if len(part[0]) and part[-1]]
        self._always: Candidates | None = None
        if all(len(items) <= most for items, most, _weight in self._parts):
            self._always = self._draw(trained, np.random.default_rng(0))
            if len(self._parts) == 1:
                self._always = replace(self._always, log_weights=None)

    def draw(self, needed: NDArray[np.int64], rng: np.random.Generator) -> Candidates:
        """Trained and untaken items, drawn uniformly where there are too many, and all trained ones that are
        `needed` (repeats allowed).

        A drawn item stands for all / drawn ones, so the sum over negatives is right in the mean; a needed one
        that was not drawn for none. So what other rows need changes no row's loss, and a batch may be cut
        into parts.
        """
        return self._always or self._draw(needed, rng)

    def _draw(self, needed: NDArray[np.int64], rng: np.random.Generator) -> Candidates:
        log_weights = np.full(self._n_items, -math.inf, dtype=np.float32)
        for items, most, weight in self._parts:
            drawn = items if len(items) <= most else rng.choice(items, size=most, replace=False)
            log_weights[drawn] = math.log(weight * len(items) / len(drawn))
        negative = log_weights > -math.inf
        items = np.union1d(np.flatnonzero(negative), needed)
        rows = np.full(self._n_items, -1, dtype=np.int64)
        rows[items] = np.arange(len(items))
        return Candidates(items, rows, np.where(negative, rows, -1), log_weights[items])
