"""What a phase of training sees of a log, and what it can tell of the items that are not in it."""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.errors import DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """
    sequences    what is learnt from
    untaken      items, rising, that are not in it, that nobody is known to have wanted
    passed_over  of these, items that were there all the same and are not new
    """

    sequences: Sequences
    untaken: NDArray[np.int64]
    passed_over: NDArray[np.int64]


def seen(
    parts: Split,
    n_items: int,
    *,
    tuning: bool,
    new: NDArray[np.int64],
    later: NDArray[np.int64] | None,
) -> Seen:
    """Of `parts`: train without the items held out as `new` while `tuning`, else with validation.

    `later`: items that came after all this; None: where the split is by time, a log does not say
    whether what nobody took was there.
    """
    sequences = parts.train_and_validation
    if tuning:
        sequences = parts.train.where(~np.isin(parts.train.items, new))
    elsewhere = (sequences.items, new, new if later is None else later)
    untaken = np.setdiff1d(np.arange(n_items), np.concatenate(elsewhere))
    told = later is not None or parts.kind != "global_time"
    return Seen(sequences, untaken, untaken if told else untaken[:0])


def check_next_items(parts: Split, log_file: str) -> None:
    """`DataError`, naming `log_file`, where no user has two interactions at different times to train on."""
    if not _has_next_item(parts.train).any():
        needed = "four interactions at different times"
        advice = (
            f"leave_one_out needs users with {needed}, of which it keeps two"
            if parts.kind == "leave_one_out"
            else f"give a longer log, or users with {needed} and the split leave_one_out"
        )
        raise DataError(
            f"{log_file}: none of {len(parts.train)} users has two interactions at different times before the"
            f" cut to validation ({parts.kind}), so there is nothing to learn from; {advice}"
        )


def without_next_item(sequences: Sequences, *, within_moments: bool) -> int:
    """How many users nothing was learnt from; `within_moments`: interactions of one time were, too."""
    learnt = np.diff(sequences.offsets) > 1 if within_moments else _has_next_item(sequences)
    skipped = int(np.count_nonzero(~learnt))
    if skipped:
        log.info(
            "%d of %d users have no two interactions%s, so nothing to predict from: skipped",
            skipped,
            len(sequences),
            "" if within_moments else " at different times",
        )
    return skipped


def _has_next_item(sequences: Sequences) -> NDArray[np.bool_]:
    """(users,)"""
    first = sequences.times_us[sequences.offsets[:-1]]
    last = sequences.times_us[sequences.offsets[1:] - 1]
    return first != last
