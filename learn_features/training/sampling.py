"""Two-stage sampling (PAPER: Training): what is drawn from each of many sequences at once."""

import numpy as np
from numpy.typing import NDArray

from learn_features.training.recipe import Draw


def recency_weights(
    length: NDArray[np.int64], place: NDArray[np.int64], alpha: float, beta: float
) -> NDArray[np.floating]:
    """Unnormalised weights w_i = log(α + i (β − α) / (N − 1)), i = 0 the oldest of N.

    `length` (N) and `place` (i) broadcast. A sequence of one has the one weight log α.
    """
    step = place / np.maximum(length - 1, 1)
    return np.log(alpha + step * (beta - alpha))


def draw(
    lengths: NDArray[np.int64],
    size: int,
    kind: Draw,
    rng: np.random.Generator,
    alpha: float,
    beta: float,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Up to `size` distinct places of each of n sequences, in rising order.

    Returns places (n, k) with k = min(size, longest) and which of them are real, real ones first;
    a sequence no longer than `size` is taken whole. Weighted draws without replacement are the first
    arrivals, where an entry arrives after an exponential time with its weight as the rate (Efraimidis and
    Spirakis 2006).
    """
    longest = int(lengths.max(initial=1))
    place = np.arange(longest)[None, :]
    real = place < lengths[:, None]
    if longest <= size:
        return np.where(real, place, 0), real
    arrivals = rng.standard_exponential((len(lengths), longest), dtype=np.float32)
    if kind == "recency":
        arrivals /= recency_weights(lengths[:, None], np.where(real, place, 0), alpha, beta)
    arrivals[~real] = np.inf
    chosen = np.argpartition(arrivals, size - 1, axis=1)[:, :size]
    chosen_real = np.take_along_axis(real, chosen, axis=1)
    chosen = np.sort(np.where(chosen_real, chosen, longest), axis=1)
    chosen_real = chosen < longest
    return np.where(chosen_real, chosen, 0), chosen_real
