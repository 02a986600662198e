"""Random numbers that depend on where training stands and on nothing before: what makes resume exact.

The order of batches depends on (seed, phase, epoch), what a step draws on (seed, phase, step). State is
then tensors and counters; no generator's state has to be kept. On a CPU the order of sums does not depend on
the moment either (`one_order_of_sums`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch

Purpose = Literal["weights", "batches", "draws", "dropout"]

_PURPOSES: dict[Purpose, int] = {"weights": 0, "batches": 1, "draws": 2, "dropout": 3}


def generator(seed: int, phase: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """NumPy's generator for one purpose at one place."""
    return np.random.default_rng(_sequence(seed, phase, purpose, place))


def seed_torch(seed: int, phase: int, purpose: Purpose, *place: int) -> None:
    """Seed torch (all devices) for one purpose at one place."""
    state = _sequence(seed, phase, purpose, place).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))


@contextmanager
def one_order_of_sums(device: torch.device) -> Iterator[None]:
    """Let threads of a CPU sum in one order, not in that of their arrival.

    The gradients of rows that are read more than once are else added to by several threads at a time, and
    the same training ends in other last bits each time.
    """
    if device.type != "cpu":
        yield
        return
    before = torch.get_deterministic_debug_mode()
    fills = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a check on torch itself, at a price
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        torch.utils.deterministic.fill_uninitialized_memory = fills


def _sequence(seed: int, phase: int, purpose: Purpose, place: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed % 2**64, spawn_key=(phase, _PURPOSES[purpose], *place))
