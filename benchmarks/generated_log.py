"""Logs with the lengths and the popularity of a public set, from a few fitted numbers; nothing is copied.

Lengths: what users of `amazon_scientific` (5-core) have beyond five interactions is a mixture of two
geometric distributions, fitted by expectation maximisation. The fit against the set: mean 7.04 / 7.04,
median 6 / 6, 90 % 10 / 10, 99 % 21 / 20. Popularity of an item falls with its rank as (rank + 80) ** -0.8
(mean deviation 4 %).
"""

import numpy as np
from numpy.typing import NDArray

from learn_features.data.sequences import Sequences

SHORTEST, LONGEST = 5, 80
SHARE_SHORT = 0.7606
"""Of users whose further interactions end sooner."""
STOP_SHORT, STOP_LONG = 0.4590, 0.1732
"""Chance that an interaction is the last, from the fifth on, of either kind of user."""
RANK_OFFSET, RANK_POWER = 80, 0.8
ITEMS = 4385


def lengths(users: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Interactions (users,) of each user."""
    stop = np.where(rng.random(users) < SHARE_SHORT, STOP_SHORT, STOP_LONG)
    return np.minimum(SHORTEST - 1 + rng.geometric(stop), LONGEST)


def log_of(per_user: NDArray[np.int64], items: int, rng: np.random.Generator) -> Sequences:
    """A log of users with so many interactions each (users,), with a catalogue of `items`."""
    offsets = np.concatenate(([0], np.cumsum(per_user))).astype(np.int64)
    weights = (np.arange(1, items + 1) + RANK_OFFSET) ** -RANK_POWER
    drawn = rng.choice(items, size=int(offsets[-1]), p=weights / weights.sum())
    return in_order(Sequences([str(user) for user in range(len(per_user))], offsets, drawn, drawn))


def in_order(log: Sequences) -> Sequences:
    """The same with one second between neighbours: every entry is a position of its own."""
    seconds = np.arange(len(log.items)) - np.repeat(log.offsets[:-1], log.lengths)
    return Sequences(log.user_ids, log.offsets, log.items.astype(np.int32), seconds * 1_000_000)
