"""Batches for the dense all action loss: each user's sequence cut into history and target.

The cut is at a random time of the user's own, anew each epoch, and never inside a tie. Stage one takes
a sample of the whole history and of the targets, stage two the positions of the pairs (sampling.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
from numpy.typing import NDArray

from learn_features.data.sequences import Sequences
from learn_features.data.time_gaps import FIRST, time_gaps
from learn_features.training.recipe import Recipe
from learn_features.training.sampling import draw


@dataclass(frozen=True)
class CutBatch:
    """Items are int64, padded on the right with 0; positions point into the sampled sequences."""

    history: NDArray[np.int64]
    """(B, H)"""
    history_lengths: NDArray[np.int64]
    """(B,)"""
    history_gaps: NDArray[np.float32]
    """(B, H), seconds since the entry before in the sample"""
    history_positions: NDArray[np.int64]
    """(B, Nh)"""
    history_real: NDArray[np.bool_]
    """(B, Nh)"""
    targets: NDArray[np.int64]
    """(B, T)"""
    target_lengths: NDArray[np.int64]
    """(B,)"""
    target_positions: NDArray[np.int64]
    """(B, Nt)"""
    target_real: NDArray[np.bool_]
    """(B, Nt)"""

    def part(self, number: int, of: int) -> "CutBatch":
        """The users of part `number` of `of`; parts are padded with users without a pair to one size."""
        users = len(self.history)
        rows = slice(users * number // of, users * (number + 1) // of)
        missing = -(-users // of) - (rows.stop - rows.start)
        return CutBatch(*(_grown(getattr(self, field.name)[rows], missing) for field in fields(self)))

    @property
    def pairs(self) -> int:
        """Real (history position, target) pairs."""
        return int((self.history_real.sum(1) * self.target_real.sum(1)).sum())


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
    first, second = (
        partial(draw, kind=kind, rng=rng, alpha=recipe.alpha, beta=recipe.beta)
        for kind in (recipe.first_stage, recipe.second_stage)
    )
    for part in np.array_split(np.arange(len(users)), steps_per_epoch(len(users), recipe))[:steps]:
        history_place, in_history = first(cuts[part] - starts[part], recipe.history_length)
        target_place, in_targets = first(ends[part] - cuts[part], recipe.target_length)
        history_place += starts[part][:, None]
        yield CutBatch(
            np.where(in_history, sequences.items[history_place], 0).astype(np.int64),
            in_history.sum(1),
            _gaps(sequences.times_us, history_place, in_history),
            *second(in_history.sum(1), recipe.history_positions),
            np.where(in_targets, sequences.items[cuts[part][:, None] + target_place], 0).astype(np.int64),
            in_targets.sum(1),
            *second(in_targets.sum(1), recipe.target_positions),
        )


def steps_per_epoch(users: int, recipe: Recipe) -> int:
    """Batches of `users` that can be cut."""
    return max(1, users // recipe.users_per_step)


def _gaps(
    times_us: NDArray[np.int64], place: NDArray[np.int64], real: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Gaps (B, H) of histories whose real entries are at `place` (B, H); FIRST where nothing is."""
    gaps = np.full(place.shape, FIRST, dtype=np.float32)
    lengths = real.sum(axis=1)
    gaps[real] = time_gaps(times_us[place[real]], np.cumsum(lengths) - lengths)
    return gaps


def _grown(rows: NDArray, count: int) -> NDArray:
    """`rows` and `count` more of zeros."""
    return np.concatenate((rows, np.zeros((count, *rows.shape[1:]), rows.dtype))) if count else rows
