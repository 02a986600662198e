"""A training that does not fit the memory says what to make smaller."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from learn_features.errors import ConfigError


@contextmanager
def enough_memory() -> Iterator[None]:
    """`ConfigError` where there is no memory left, on a CPU or a GPU."""
    try:
        yield
    except MemoryError as error:
        raise ConfigError(
            f"training: out of memory ({error}); item-to-item models take the square of the catalogue:"
            " training.recipe.teacher_share 0 with backwards false leaves them out"
        ) from None
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise ConfigError(
            f"training: out of memory ({str(error).splitlines()[0]}); cut its steps into"
            " training.recipe.accumulate parts, take fewer pairs_per_step and max_pairs_per_step (dense all"
            " action: users_per_step), or make training.towers.width or dimension smaller"
        ) from None
