"""Time between a history's entries: the one implementation, for training, batch and stream."""

import numpy as np
from numpy.typing import NDArray

FIRST = -1.0
"""The gap of an entry that has none before it."""


def time_gaps(times_us: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Seconds (N,) from the entry before to each of `times_us` (N,), FIRST for those at `starts`.

    Entries are those that are embedded, histories one after the other, oldest first: those with items that
    are known. Where a history is cut off or an item left out, the gap is to the entry before
    that is still there.
    """
    gaps = np.diff(times_us, prepend=times_us[:1]) / 1e6
    gaps[starts[starts < len(gaps)]] = FIRST  # an empty history at the end starts beyond it
    return gaps.astype(np.float32)
