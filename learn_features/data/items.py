"""The items table: ids, text fields, price, time of the last change."""

from collections.abc import Sequence

import polars as pl

from learn_features.contracts import attributes as text_of
from learn_features.contracts import columns as c
from learn_features.data.checked import REPLACEMENT, SHOWN_ROWS, CheckedTable, reads_as_text, short

ITEM_COLUMNS = (c.ITEM_ID, *c.ITEM_TEXT_COLUMNS, c.UPDATED_AT)
_TEXTS = tuple(name for name in c.ITEM_TEXT_COLUMNS if name != c.PRICE)


def read_items(
    table: CheckedTable,
    now_us: int,
    warnings: list[str],
    *,
    attributes: Sequence[str] = (),
    all_may_be_empty: bool = False,
) -> pl.DataFrame:
    """All contract columns of the items table, in the file's order; appends to `warnings`.

    `attributes`: columns of the file that enter the contract's of this name, as far as there are.
    `all_may_be_empty`: the rows are a part of a catalogue, and not compared with each other. Raises
    `DataError`: no title column, null or repeated ids, no text at all, wrong types, wrong times.
    """
    ids = table.ids(c.ITEM_ID)
    table.refuse(c.ITEM_ID, ids.is_duplicated(), "repeat an id", "keep one row an item")
    table.raw(c.TITLE)
    described = (table.described(name) for name in _TEXTS if name != c.TITLE)
    columns = [ids, table.text(c.TITLE), *described, table.number(c.PRICE)]
    columns.append(table.times(c.UPDATED_AT, now_us, required=False))
    items = pl.DataFrame(columns).select(ITEM_COLUMNS)
    items = items.with_columns(_with_attributes(items[c.ATTRIBUTES], table, attributes))
    empty = items.select(pl.all_horizontal(pl.col(_TEXTS).is_null())).to_series()
    table.refuse(
        c.ITEM_ID,
        empty if empty.all() and not all_may_be_empty else empty.clear(),
        "have no text at all",
        f"no item can be embedded; fill at least one of {', '.join(_TEXTS)}",
    )
    for name in _TEXTS:
        broken = items[name].str.contains(REPLACEMENT, literal=True).fill_null(False)
        if broken.any() and table.has(name):
            problem = table.describe(name, broken, "have bytes that are not UTF-8")
            warnings.append(f"{table.path}: {problem}; they are left out of the text")
    untitled = items[c.TITLE].is_null() & ~empty
    if untitled.any():
        problem = table.describe(c.TITLE, untitled, "are empty")
        warnings.append(f"{table.path}: {problem}; these items are told by their other fields")
    if empty.any():
        first = ", ".join(map(short, items[c.ITEM_ID].filter(empty).head(SHOWN_ROWS)))
        warnings.append(
            f"{table.path}: {empty.sum():,} of {items.height:,} items have no text and cannot be told "
            f"apart by content; first: {first}"
        )
    if all_may_be_empty:
        return items
    alike = items.select(c.ITEM_TEXT_COLUMNS).is_duplicated() & ~empty
    if alike.any():
        first = ", ".join(map(short, items[c.ITEM_ID].filter(alike).head(SHOWN_ROWS)))
        warnings.append(
            f"{table.path}: {alike.sum():,} of {items.height:,} items say the very same as another one; "
            f"nothing but interactions tells them apart; first: {first}"
        )
    return items


def unread_columns(table: CheckedTable, attributes: Sequence[str]) -> list[str]:
    """Columns of the file that `read_items` leaves aside."""
    read = _further(table, attributes)
    return [column for column in table.further if column not in read]


def _further(table: CheckedTable, attributes: Sequence[str]) -> list[str]:
    there = set(table.further)
    return [name for name in attributes if name in there and reads_as_text(table.raw(name).dtype)]


def _with_attributes(given: pl.Series, table: CheckedTable, attributes: Sequence[str]) -> pl.Series:
    """`given`, and what the file says under the names of `attributes`: `contracts.attributes`, by columns."""
    further = _further(table, attributes)
    if not further:
        return given
    parts = [_present(given)]
    for name in further:
        value = _present(table.described(name).str.strip_chars())
        parts.append((text_of.label(name) + value).alias(name))
    text = pl.concat_str(pl.all(), separator=text_of.SEPARATOR, ignore_nulls=True)
    joined = pl.DataFrame(parts).select(text.alias(c.ATTRIBUTES)).to_series()
    return joined.set(joined == "", None)


def _present(texts: pl.Series) -> pl.Series:
    """Null where a text only says that there is none."""
    return texts.set(texts.str.strip_chars().str.to_lowercase().is_in(c.NO_VALUE), None)
