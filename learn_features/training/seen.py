"""What a phase of training sees of a log, and what it can tell of the items that are not in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split


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
