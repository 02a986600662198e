"""Rows of a batch in groups of like length, so that little of what goes through a tower is padding."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

LEAST = {"cpu": 64, "cuda": 4096}
"""Entries of a group, at least: below, a call costs more than the padding that it saves."""


def length_groups(
    lengths: NDArray[np.int64], device: torch.device
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Rows and longest of groups that hold every row of `lengths` (B,) once, short ones first.

    Lengths of a group share a power of two above them, but for groups too small by themselves, which
    join the next.
    """
    order = np.argsort(lengths, kind="stable")
    doublings = np.ceil(np.log2(lengths[order].clip(1)))
    edges = [*np.flatnonzero(np.diff(doublings)) + 1, len(order)]
    start = 0
    for end in edges:
        longest = int(lengths[order[end - 1]].clip(1))
        if end == len(order) or (end - start) * longest >= LEAST.get(device.type, LEAST["cuda"]):
            yield order[start:end], longest
            start = end
