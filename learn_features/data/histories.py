"""Histories from interactions: the one implementation, for a whole table and for a batch of a stream.

A batch job passes all interactions; a stream passes the entries already stored for its users plus the
new ones. Both end in the same state, because a history is the newest N of a *set* of whole entries.
"""

import polars as pl

from learn_features.contracts import columns as c
from learn_features.contracts.history import HistoryRule

ENTRY_SCHEMA = {
    c.USER_ID: pl.String,
    c.EVENT_TIMESTAMP: pl.Int64,
    c.EVENT_ID: pl.String,
    c.ITEM_ID: pl.String,
}
"""Columns of history entries; `event_timestamp` in µs since the epoch."""

ORDER = (c.EVENT_TIMESTAMP, c.EVENT_ID, c.ITEM_ID)


def counting(interactions: pl.DataFrame, rule: HistoryRule) -> pl.DataFrame:
    """Rows of `interactions` (columns event_type, value) that enter a history under `rule`."""
    wanted = pl.lit(True)
    if rule.event_types is not None:
        wanted &= pl.col(c.EVENT_TYPE).is_in(list(rule.event_types))
    if rule.min_value is not None:
        value = pl.col(c.VALUE)
        # polars sorts NaN above every number
        wanted &= (value.is_finite() & (value >= rule.min_value)).fill_null(False)
    return interactions.filter(wanted)


def newest_entries(entries: pl.DataFrame, max_length: int) -> pl.DataFrame:
    """Each user's newest `max_length` distinct entries, oldest first, users in order of id.

    `entries` has the columns of ENTRY_SCHEMA in any order, with repeats; the result has only those.
    """
    return (
        entries.select(list(ENTRY_SCHEMA))
        .unique()
        .sort(c.USER_ID, *ORDER)
        .group_by(c.USER_ID, maintain_order=True)
        .tail(max_length)
    )
