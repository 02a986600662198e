"""Batches for next-item softmax: windows of histories and the (position, target) pairs in them.

Every interaction is a target of what the user did at strictly earlier times, where there is any, as it is
asked for when users are served. A moment of several interactions (a basket, a day of a log that knows only
days) says as well that they belong together: each can be a target of those of its own moment, too, in an
order that is drawn anew each epoch. Long histories are cut into windows at a new offset each epoch; batches
hold windows of like length, so little is padded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learn_features.data.padding import padded
from learn_features.data.sequences import Sequences
from learn_features.data.time_gaps import time_gaps

SHUFFLE_BATCHES = 64
"""Windows are sorted by length within about this many batches."""


@dataclass(frozen=True)
class WindowBatch:
    """`items` (B, L) int64, padded with 0 on the right, the seconds before each (`data.time_gaps`), and as
    `ages` how many before the end of the log, or their own, a user is asked for after each;
    pairs (P,): row, position and target item; `users` (B,): whose rows they are."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    gaps: NDArray[np.float32]
    ages: NDArray[np.float32]
    lengths: NDArray[np.int64]
    rows: NDArray[np.int64]
    positions: NDArray[np.int64]
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Every target with its context, as places in `Sequences.items`; ordered by context, then target."""

    context: NDArray[np.int64]
    target: NDArray[np.int64]


def pairs(sequences: Sequences, *, within_moments: bool = False) -> Pairs:
    """Of every interaction with something strictly before it, the pair with the newest of that.

    `within_moments`: also the pair with the entry right before it, where that one is of the same time.
    """
    starts, ends = sequences.offsets[:-1], sequences.offsets[1:]
    place = np.arange(len(sequences.items))
    moment_start = np.maximum.accumulate(np.where(_begins_moment(sequences), place, 0))
    has_context = moment_start > np.repeat(starts, ends - starts)
    context, target = moment_start[has_context] - 1, place[has_context]
    follows = place[place > moment_start]
    if not within_moments or not len(follows):
        return Pairs(context, target)
    context, target = np.concatenate((context, follows - 1)), np.concatenate((target, follows))
    order = np.lexsort((target, context))
    return Pairs(context[order], target[order])


def some_within_moments(
    sequences: Sequences, all_pairs: Pairs, share: float, rng: np.random.Generator
) -> Pairs:
    """`all_pairs` with only a random `share` of those within moments; from 1 on, with all."""
    within = sequences.times_us[all_pairs.context] == sequences.times_us[all_pairs.target]
    if share >= 1 or not within.any():
        return all_pairs
    kept = ~within
    kept[within] = rng.random(np.count_nonzero(within)) < share
    return Pairs(all_pairs.context[kept], all_pairs.target[kept])


def moments_shuffled(sequences: Sequences, rng: np.random.Generator) -> Sequences:
    """`sequences` with the items of each moment in random order; themselves where no two share a time."""
    begins = _begins_moment(sequences)
    shared = ~begins
    shared[:-1] |= ~begins[1:]
    places = np.flatnonzero(shared)
    if not len(places):
        return sequences
    order = np.lexsort((rng.random(len(places)), np.cumsum(begins)[places]))
    items = sequences.items.copy()
    items[places] = items[places[order]]
    return replace(sequences, items=items)


def _begins_moment(sequences: Sequences) -> NDArray[np.bool_]:
    """(N,): whether an interaction is its user's first, or of another time than the one before it."""
    begins = np.ones(len(sequences.items), dtype=bool)
    begins[1:] = sequences.times_us[1:] != sequences.times_us[:-1]
    starts, ends = sequences.offsets[:-1], sequences.offsets[1:]
    begins[starts[starts < ends]] = True
    return begins


def window_batches(
    sequences: Sequences,
    all_pairs: Pairs,
    *,
    max_length: int,
    pairs_per_step: int,
    steps: int | None,
    rng: np.random.Generator,
    wanted: NDArray[np.bool_] | None = None,
    ends_us: NDArray[np.int64] | None = None,
    asked_at_history_end: bool = False,
) -> Iterator[WindowBatch]:
    """One epoch: batches of about `pairs_per_step` pairs in random order, at most `steps` of them.

    `wanted` (users,): whose sequences take part; None: everybody's. `ends_us` (users,): what ages are
    counted from; default: the newest time of all. `asked_at_history_end`: ages are those of the contexts'
    ends instead of the targets.
    """
    ends_us = sequences.ends_us(own=False) if ends_us is None else ends_us
    users, starts, ends = _windows(sequences.offsets, max_length, rng)
    first = np.searchsorted(all_pairs.context, starts)
    last = np.searchsorted(all_pairs.context, ends)
    useful = last > first
    if wanted is not None:
        useful &= wanted[users]
    users, starts, first, last = users[useful], starts[useful], first[useful], last[useful]
    ends = all_pairs.context[last - 1] + 1  # nothing is predicted from entries after the last context
    for windows in _like_lengths(ends - starts, last - first, pairs_per_step, steps, rng):
        yield _batch(
            sequences,
            all_pairs,
            users[windows],
            starts[windows],
            ends[windows],
            first[windows],
            last[windows],
            ends_us,
            asked_at_history_end,
        )


def steps_per_epoch(pairs: int, pairs_per_step: int) -> int:
    return max(1, -(-pairs // pairs_per_step))


def _windows(
    offsets: NDArray[np.int64], max_length: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Users, starts and ends of windows of at most `max_length` entries that cover each sequence."""
    lengths = np.diff(offsets)
    shift = np.where(lengths > max_length, rng.integers(0, max_length, size=len(lengths)), 0)
    count = -(-(lengths + shift) // max_length)
    owner = np.repeat(np.arange(len(lengths)), count)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    begin = offsets[:-1][owner] - shift[owner] + nth * max_length
    end = np.minimum(begin + max_length, offsets[1:][owner])
    return owner, np.maximum(begin, offsets[:-1][owner]), end


def _like_lengths(
    lengths: NDArray[np.int64],
    weights: NDArray[np.int64],
    weight_per_batch: int,
    steps: int | None,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.int64]]:
    """Windows in batches of about `weight_per_batch` pairs, like lengths together, shuffled."""
    order = rng.permutation(len(lengths))
    chunk = np.cumsum(weights[order]) // (weight_per_batch * SHUFFLE_BATCHES)
    order = order[np.lexsort((lengths[order], chunk))]
    total = np.cumsum(weights[order])
    count = max(1, round(int(total[-1]) / weight_per_batch)) if len(total) else 0
    edges = np.searchsorted(total, np.arange(1, count) * (total[-1] / count)) if count else []
    batches = [batch for batch in np.split(order, edges) if len(batch)]
    for i in rng.permutation(len(batches))[:steps]:
        yield batches[i]


def _batch(
    sequences: Sequences,
    all_pairs: Pairs,
    users: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    ends_us: NDArray[np.int64],
    asked_at_history_end: bool,
) -> WindowBatch:
    lengths = ends - starts
    place = np.arange(int(lengths.max()))[None, :]
    real = place < lengths[:, None]
    entries = np.where(real, starts[:, None] + place, 0)
    items = np.where(real, sequences.items[entries], 0)
    times_us = sequences.times_us[entries[real]]
    gaps = time_gaps(times_us, np.cumsum(lengths) - lengths)
    asked = entries[real] if asked_at_history_end else np.minimum(entries[real] + 1, len(sequences.items) - 1)
    since = sequences.times_us[asked] - np.repeat(ends_us[users], lengths)
    ages = np.abs(since) / 1e6  # sequences read backwards are mirrored
    counts = last - first
    rows = np.repeat(np.arange(len(starts)), counts)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.repeat(first, counts) + nth
    return WindowBatch(
        users=users,
        items=items.astype(np.int64),
        gaps=padded(gaps, lengths),
        ages=padded(ages.astype(np.float32), lengths),
        lengths=lengths,
        rows=rows,
        positions=all_pairs.context[chosen] - starts[rows],
        targets=sequences.items[all_pairs.target[chosen]].astype(np.int64),
    )
