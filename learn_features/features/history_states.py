"""Histories as they stood at given times, from the log: what a backfill embeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learn_features.contracts import columns as c
from learn_features.contracts import names
from learn_features.contracts.history import HistoryRule
from learn_features.data.histories import ORDER, counting, newest_entries

DAY_US = 86_400_000_000


def cutoffs(newest_us: int, window_days: int) -> list[int]:
    """Times to look back from, newest first: `newest_us`, and the midnights (UTC) of the days before."""
    midnight = newest_us - newest_us % DAY_US
    return [newest_us, *(midnight - day * DAY_US for day in range(window_days - 1))]


@dataclass(frozen=True)
class HistoryStates:
    """State s of user `user_ids[s]` has the entries `entries[offsets[s]:offsets[s + 1]]`, oldest first.

    user_ids  list (S,), as_of_us int64 (S,): newest `as_of` of the user's counting events
    offsets   int64 (S + 1,)
    entries   event_timestamp (µs), event_id, item_id; (N,)
    """

    user_ids: list[str]
    as_of_us: NDArray[np.int64]
    offsets: NDArray[np.int64]
    entries: pl.DataFrame

    def __len__(self) -> int:
        return len(self.user_ids)

    def raised(self, before: "HistoryStates", after: "HistoryStates") -> "HistoryStates":
        """With the `as_of` of `after` wherever a state is the one in `before`; both have the same users."""
        moved = np.flatnonzero(before.as_of_us != after.as_of_us).tolist()
        old = {before.user_ids[place]: int(before.as_of_us[place]) for place in moved}
        new = {before.user_ids[place]: int(after.as_of_us[place]) for place in moved}
        as_of = [
            new[user_id] if old.get(user_id) == known else known
            for user_id, known in zip(self.user_ids, self.as_of_us.tolist(), strict=True)
        ]
        return replace(self, as_of_us=np.array(as_of, dtype=np.int64))


def states_at(
    interactions: pl.DataFrame, rule: HistoryRule, cutoff_us: int, since_us: int | None
) -> HistoryStates:
    """Each user's history of the events known by `cutoff_us`; only users with one known after `since_us`.

    `interactions` has the columns of the offline log.
    """
    as_of = pl.col(c.AS_OF).to_physical()
    known = counting(interactions, rule).filter(as_of <= cutoff_us)
    users = known.group_by(c.USER_ID).agg(as_of.max().alias(c.AS_OF))
    if since_us is not None:
        users = users.filter(pl.col(c.AS_OF) > since_us)
        known = known.join(users.select(c.USER_ID), on=c.USER_ID, how="semi")
    entries = newest_entries(known.with_columns(pl.col(c.EVENT_TIMESTAMP).to_physical()), rule.max_length)
    runs = entries[c.USER_ID].rle().struct.unnest()
    ids = runs.select(pl.col("value").alias(c.USER_ID))
    as_of_us = ids.join(users, on=c.USER_ID, how="left", maintain_order="left")[c.AS_OF]
    offsets = np.concatenate([[0], np.cumsum(runs["len"].to_numpy())]).astype(np.int64)
    return HistoryStates(
        ids[c.USER_ID].to_list(), as_of_us.to_numpy().astype(np.int64), offsets, entries.select(ORDER)
    )


def popularity_rows(interactions: pl.DataFrame, cutoffs_us: Sequence[int]) -> pl.DataFrame:
    """item_id, popularity, as_of: events of each item known by each cutoff, where it has new ones."""
    as_of, frames = pl.col(c.AS_OF).to_physical(), []
    entry = [c.USER_ID, c.EVENT_TIMESTAMP, c.EVENT_ID, c.ITEM_ID]
    interactions = interactions.sort(c.AS_OF, maintain_order=True).unique(entry, keep="first")
    for place, cutoff in enumerate(cutoffs_us):
        counts = (
            interactions.filter(as_of <= cutoff)
            .group_by(c.ITEM_ID)
            .agg(pl.len().cast(pl.Int64).alias(names.POPULARITY), pl.max(c.AS_OF))
        )
        if place + 1 < len(cutoffs_us):
            counts = counts.filter(as_of > cutoffs_us[place + 1])
        frames.append(counts)
    return pl.concat(frames).unique([c.ITEM_ID, c.AS_OF], keep="first", maintain_order=True).sort(c.ITEM_ID)
