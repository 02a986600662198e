"""Rows of a batch in groups of like length, so that little of what goes through a tower is padding."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

LEAST = {"cpu": 64, "cuda": 4096}
"""Entries of padding that a further group has to save: fewer cost less than its calls, and each number of
groups is one more form for compiled layers."""


def length_groups(
    lengths: NDArray[np.int64], device: torch.device
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Rows and longest of groups that hold every row of `lengths` (B,) once, short ones first.

    Cut in two where that saves the most padding, and each part likewise, as long as it saves enough.
    """
    order = np.argsort(lengths, kind="stable")
    rising = lengths[order].clip(1)
    start = 0
    for end in _ends(rising, LEAST.get(device.type, LEAST["cuda"])):
        yield order[start:end], int(rising[end - 1])
        start = end


def _ends(rising: NDArray[np.int64], least: int) -> Iterator[int]:
    """Where groups of `rising` lengths end."""
    shorter = np.arange(1, len(rising))
    saved = shorter * (rising[-1:] - rising[:-1])
    if not len(saved) or saved.max() <= least:
        yield len(rising)
        return
    cut = int(saved.argmax()) + 1
    yield from _ends(rising[:cut], least)
    yield from (cut + end for end in _ends(rising[cut:], least))
