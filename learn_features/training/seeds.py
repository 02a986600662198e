"""Random numbers that depend on where training stands and on nothing before: what makes resume exact.

The order of batches depends on (seed, phase, epoch), what a step draws on (seed, phase, step). State is
then tensors and counters; no generator's state has to be kept.
"""

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


def _sequence(seed: int, phase: int, purpose: Purpose, place: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed % 2**64, spawn_key=(phase, _PURPOSES[purpose], *place))
