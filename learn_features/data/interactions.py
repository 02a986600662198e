"""The interactions table: who did what with which item, when or in which order."""

import polars as pl

from learn_features.contracts import columns as c
from learn_features.contracts import identity, times
from learn_features.data.checked import SHOWN_ROWS, CheckedTable, short
from learn_features.errors import DataError

INTERACTION_COLUMNS = (c.USER_ID, c.ITEM_ID, c.EVENT_TIMESTAMP, c.EVENT_ID, c.EVENT_TYPE, c.VALUE)
KNOWN_COLUMNS = (*INTERACTION_COLUMNS, c.POSITION)
ORDER = (c.USER_ID, c.EVENT_TIMESTAMP, c.EVENT_ID, c.ITEM_ID)
"""The contract order of interactions: by user, then as in a history."""

_WHAT = (c.USER_ID, c.ITEM_ID, c.EVENT_TIMESTAMP, c.EVENT_TYPE)


def read_interactions(table: CheckedTable, now_us: int, warnings: list[str]) -> tuple[pl.DataFrame, bool]:
    """Interactions in contract order without repeats, and whether they have times (else only an order).

    Of repeats (same event id), the one with the highest value stays: it counts under a history rule if
    any of them does, as in a stream. Raises `DataError`.
    """
    has_times = table.has(c.EVENT_TIMESTAMP) and not table.all_null(c.EVENT_TIMESTAMP)
    if table.has(c.EVENT_TIMESTAMP) and table.has(c.POSITION) and not has_times:
        name = table.name_in_file(c.EVENT_TIMESTAMP)
        warnings.append(f"{table.path}: column {name!r} is null throughout: there is only an order, no times")
    frame = pl.DataFrame([table.ids(c.USER_ID), table.ids(c.ITEM_ID), _times(table, now_us, has_times)])
    frame = frame.with_columns(
        table.text(c.EVENT_TYPE).fill_null(c.DEFAULT_EVENT_TYPE), table.number(c.VALUE)
    )
    frame = _identified(frame, table)
    _refuse_shared_ids(frame, table)
    unique = (
        frame.sort(*ORDER, c.VALUE, nulls_last=False)
        .unique(c.EVENT_ID, keep="last", maintain_order=True)
        .select(INTERACTION_COLUMNS)
    )
    if unique.height < frame.height:
        warnings.append(
            f"{table.path}: {frame.height - unique.height:,} of {frame.height:,} rows repeat an interaction "
            f"(same user, item, time and type, or same event id) and count once"
        )
    return unique, has_times


def check_known_items(
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    table: CheckedTable,
    max_share: float,
    warnings: list[str],
) -> None:
    """Warn of interactions with items that the items table lacks; `DataError` above `max_share`."""
    unknown = interactions.filter(~pl.col(c.ITEM_ID).is_in(items[c.ITEM_ID].implode()))
    if unknown.is_empty():
        return
    share = unknown.height / interactions.height
    counts = unknown[c.ITEM_ID].value_counts(sort=True)
    first = ", ".join(
        f"{short(item)} ({count:,})"
        for item, count in counts.sort("count", c.ITEM_ID, descending=[True, False])
        .head(SHOWN_ROWS)
        .iter_rows()
    )
    message = (
        f"{table.path}: {unknown.height:,} of {interactions.height:,} interactions ({share:.1%}) are with "
        f"{counts.height:,} items that the items table does not have; most often: {first}"
    )
    if counts.height == interactions[c.ITEM_ID].n_unique():
        theirs = ", ".join(map(short, items[c.ITEM_ID].head(SHOWN_ROWS)))
        raise DataError(f"{message}. Those of the items table are {theirs} …: are ids written alike in both?")
    if share > max_share:
        raise DataError(f"{message}. Add the items, or raise data.max_unknown_item_share (now {max_share:g})")
    warnings.append(message)


def _times(table: CheckedTable, now_us: int, has_times: bool) -> pl.Series:
    if has_times:
        return table.times(c.EVENT_TIMESTAMP, now_us, required=True)
    if not table.has(c.POSITION):
        names = [table.name_in_file(name) for name in (c.EVENT_TIMESTAMP, c.POSITION)]
        state = (
            "is null in every row and the other is missing" if table.has(c.EVENT_TIMESTAMP) else "is there"
        )
        which = f"of the columns {names[0]!r} and {names[1]!r}, "
        which += "the first " + state if table.has(c.EVENT_TIMESTAMP) else "neither " + state
        raise DataError(
            f"{table.path}: {which}; give times (timestamp[us, UTC]) or each user's order. "
            f"The file has {table.frame.columns}"
        )
    positions = table.positions(c.POSITION)
    return (
        (positions * 1_000_000 + times.BASE_DATE_US).cast(pl.Datetime("us", "UTC")).alias(c.EVENT_TIMESTAMP)
    )


def _identified(frame: pl.DataFrame, table: CheckedTable) -> pl.DataFrame:
    """Adds `event_id`: the file's, or the hash that stands for it where there is none."""
    given = table.text(c.EVENT_ID)
    missing = given.is_null()
    if not missing.any():
        return frame.with_columns(given)
    rows = frame.filter(missing)
    hashes = map(
        identity.event_id,
        rows[c.USER_ID].to_list(),
        rows[c.ITEM_ID].to_list(),
        rows[c.EVENT_TIMESTAMP].to_physical().to_list(),
        rows[c.EVENT_TYPE].to_list(),
    )
    derived = given.scatter(missing.arg_true(), pl.Series(list(hashes), dtype=pl.String))
    return frame.with_columns(derived.alias(c.EVENT_ID))


def _refuse_shared_ids(frame: pl.DataFrame, table: CheckedTable) -> None:
    """An event id must mean one interaction; a basket's or session's id used for it would lose rows."""
    if not table.has(c.EVENT_ID):
        return
    distinct = frame.select(pl.struct(_WHAT).n_unique().over(c.EVENT_ID)).to_series()
    table.refuse(
        c.EVENT_ID,
        distinct > 1,
        "share an event id with another interaction (other user, item, time or type)",
        "an event id names one interaction; leave the column out if it names a basket or session",
    )
