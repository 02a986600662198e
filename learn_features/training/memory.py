"""A training that does not fit the memory says what to make smaller."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from learn_features.errors import ConfigError


@contextmanager
def enough_memory() -> Iterator[None]:
    """`ConfigError` where torch finds no memory, on a CPU or a GPU."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise ConfigError(
            f"training: out of memory ({str(error).splitlines()[0]}); cut its steps into"
            " training.recipe.accumulate parts, take fewer pairs_per_step and max_pairs_per_step (dense all"
            " action: users_per_step), or make training.towers.width smaller"
        ) from None
