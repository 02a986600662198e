"""All users' interactions as arrays (CSR), each user's in contract order."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from learn_features.contracts import columns as c
from learn_features.contracts.history import HistoryRule
from learn_features.data.histories import counting
from learn_features.data.item_index import ItemIndex


@dataclass(frozen=True)
class Sequences:
    """User u's interactions are `items[offsets[u]:offsets[u + 1]]`, oldest first.

    offsets   int64 (U + 1,)
    items     int32 (N,), positions in the items table
    times_us  int64 (N,), µs since the epoch
    """

    user_ids: list[str]
    offsets: np.ndarray
    items: np.ndarray
    times_us: np.ndarray

    def __len__(self) -> int:
        return len(self.user_ids)

    @property
    def lengths(self) -> np.ndarray:
        """int64 (U,)"""
        return np.diff(self.offsets)

    @property
    def users(self) -> np.ndarray:
        """int64 (N,): the user, by position in `user_ids`, of each interaction."""
        return np.repeat(np.arange(len(self.user_ids)), self.lengths)

    @property
    def newest_us(self) -> int:
        """Of all interactions; 0 if there are none."""
        return int(self.times_us.max()) if len(self.times_us) else 0

    def ends_us(self, *, own: bool) -> np.ndarray:
        """int64 (U,): the newest time of each user's `own` interactions, or else of all."""
        return self.times_us[self.offsets[1:] - 1] if own else np.full(len(self), self.newest_us)

    @property
    def taken(self) -> np.ndarray:
        """int64: the items in them, each once, rising."""
        return np.unique(self.items).astype(np.int64)

    def where(self, keep: np.ndarray) -> "Sequences":
        """Only the interactions with `keep` (bool (N,)), and the users that still have one."""
        counts = np.bincount(self.users[keep], minlength=len(self.user_ids))
        users = np.flatnonzero(counts)
        offsets = np.concatenate([[0], np.cumsum(counts[users])]).astype(np.int64)
        ids = [self.user_ids[user] for user in users]
        return Sequences(ids, offsets, self.items[keep], self.times_us[keep])

    def both_ways(self) -> "Sequences":
        """These sequences, then the same users' backwards, their times mirrored at the newest of all, so that
        they rise as they should and are as far from it."""
        places = np.arange(len(self.items))
        mirrored = np.repeat(self.offsets[:-1] + self.offsets[1:] - 1, self.lengths) - places
        return Sequences(
            user_ids=[*self.user_ids, *self.user_ids],
            offsets=np.concatenate([self.offsets, self.offsets[1:] + len(self.items)]),
            items=np.concatenate([self.items, self.items[mirrored]]),
            times_us=np.concatenate([self.times_us, 2 * self.newest_us - self.times_us[mirrored]]),
        )


def sequences(interactions: pl.DataFrame, index: ItemIndex, rule: HistoryRule) -> Sequences:
    """The interactions that count under `rule`, with known items, not cut to its `max_length`."""
    counted = counting(interactions, rule)
    items = index.encode(counted[c.ITEM_ID])
    counted = counted.with_columns(pl.Series("item", items)).filter(pl.col("item") >= 0)
    counted = counted.sort(c.USER_ID, c.EVENT_TIMESTAMP, c.EVENT_ID, c.ITEM_ID)
    users = counted[c.USER_ID].rle().struct.unnest()
    offsets = np.concatenate([[0], np.cumsum(users["len"].to_numpy())]).astype(np.int64)
    return Sequences(
        user_ids=users["value"].to_list(),
        offsets=offsets,
        items=counted["item"].to_numpy(),
        times_us=counted[c.EVENT_TIMESTAMP].to_physical().to_numpy(),
    )
