"""Histories of unlike length as one array."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def padded(flat: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    """Entries (N, …) of B histories, one after the other, as (B, longest, …), zeros beyond each one's end."""
    real = np.arange(lengths.max(initial=0))[None, :] < lengths[:, None]
    whole = np.zeros((*real.shape, *flat.shape[1:]), dtype=np.float32)
    whole[real] = flat
    return whole
