"""Batches for the dense all action loss: each user's sequence cut into history and target.

The cut is at a random time of the user's own, anew each epoch, and never inside a tie. Stage one takes
a sample of the whole history and of the targets, stage two the positions of the pairs (sampling.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learn_features.data.sequences import Sequences
from learn_features.training.recipe import Recipe
from learn_features.training.sampling import draw


@dataclass(frozen=True)
class CutBatch:
    """Items are int64, padded on the right with 0; positions point into the sampled sequences."""

    history: NDArray[np.int64]
    """(B, H)"""
    history_positions: NDArray[np.int64]
    """(B, Nh)"""
    history_real: NDArray[np.bool_]
    """(B, Nh)"""
    targets: NDArray[np.int64]
    """(B, T)"""
    target_positions: NDArray[np.int64]
    """(B, Nt)"""
    target_real: NDArray[np.bool_]
    """(B, Nt)"""


def cut_places(sequences: Sequences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each user may be cut: CSR of places in `sequences.items` that begin a later time.

    Returns offsets (U + 1,) and places; a user with a single time has none.
    """
    place = np.arange(1, len(sequences.items))
    owner = np.repeat(np.arange(len(sequences.user_ids)), np.diff(sequences.offsets))
    later = (owner[1:] == owner[:-1]) & (sequences.times_us[1:] != sequences.times_us[:-1])
    counts = np.bincount(owner[1:][later], minlength=len(sequences.user_ids))
    return np.concatenate(([0], np.cumsum(counts))), place[later]


def cut_batches(
    sequences: Sequences, recipe: Recipe, *, steps: int | None, rng: np.random.Generator
) -> Iterator[CutBatch]:
    """One epoch: every user that can be cut once, in random order, at most `steps` batches."""
    offsets, places = cut_places(sequences)
    users = rng.permutation(np.flatnonzero(np.diff(offsets)))
    cuts = places[rng.integers(offsets[users], offsets[users + 1])]
    starts, ends = sequences.offsets[users], sequences.offsets[users + 1]
    count = max(1, len(users) // recipe.users_per_step)
    for part in np.array_split(np.arange(len(users)), count)[:steps]:
        history, history_lengths = _first_stage(
            sequences.items, starts[part], cuts[part], recipe.history_length, recipe, rng
        )
        targets, target_lengths = _first_stage(
            sequences.items, cuts[part], ends[part], recipe.target_length, recipe, rng
        )
        history_positions, history_real = _second_stage(
            history_lengths, recipe.history_positions, recipe, rng
        )
        target_positions, target_real = _second_stage(target_lengths, recipe.target_positions, recipe, rng)
        yield CutBatch(history, history_positions, history_real, targets, target_positions, target_real)


def steps_per_epoch(sequences: Sequences, recipe: Recipe) -> int:
    users = int(np.count_nonzero(np.diff(cut_places(sequences)[0])))
    return max(1, users // recipe.users_per_step)


def _first_stage(
    items: NDArray[np.int32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    size: int,
    recipe: Recipe,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    place, real = draw(ends - starts, size, recipe.first_stage, rng, recipe.alpha, recipe.beta)
    chosen = np.where(real, items[starts[:, None] + place], 0).astype(np.int64)
    return chosen, real.sum(axis=1)


def _second_stage(
    lengths: NDArray[np.int64], size: int, recipe: Recipe, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    return draw(lengths, size, recipe.second_stage, rng, recipe.alpha, recipe.beta)
