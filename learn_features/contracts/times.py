"""Time: UTC, whole microseconds since the Unix epoch, everywhere.

`as_of` of a row is the newest append time of the events, items and refreshes it was computed from:
the broker's append time for records, the event time for interactions from files, `updated_at` for
items from files, and `BASE_DATE` where a file gives none.
"""

from datetime import UTC, datetime, timedelta

BASE_DATE = datetime(2000, 1, 1, tzinfo=UTC)
"""Items without `updated_at` have this `as_of`; order-only events happen at this date + position s."""

BASE_DATE_US = 946_684_800_000_000

FUTURE_TOLERANCE = timedelta(minutes=5)
"""An event further ahead of its own append time than this is a dead letter, live and on replay."""

FUTURE_TOLERANCE_US = 300_000_000

EARLIEST_PLAUSIBLE_US = 10**14
"""Whole numbers below this (March 1973 in µs) are seconds or milliseconds, not microseconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch of a time with a zone; `ValueError` if it has none."""
    if moment.tzinfo is None:
        raise ValueError(f"time {moment} has no time zone; give UTC")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_us(microseconds: int) -> datetime:
    """The UTC time of `microseconds` since the epoch."""
    return _EPOCH + timedelta(microseconds=microseconds)
