"""Merges history entries into online rows: set union, newest N, compare-and-set until it holds."""

import random
import time
from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.contracts.history import HistoryEntry, HistoryRule
from learn_features.data.histories import ENTRY_SCHEMA, ORDER, newest_entries
from learn_features.errors import StoreUnavailable
from learn_features.features.row_store import RowStore, RowWrite

_ATTEMPTS = 100
_PAUSE_SECONDS = 0.01


class HistoryUpdate(NamedTuple):
    """Entries to add to one user's history, and when the system first knew the newest of them."""

    entries: list[HistoryEntry]
    as_of_us: int


def merge_histories(rows: RowStore, rule: HistoryRule, updates: Mapping[bytes, HistoryUpdate]) -> int:
    """Add entries to the histories under `rule` of rows by key; how many rows changed.

    What was appended up to a row's `forgotten_at` is not taken in. Rows that others write meanwhile
    are read and merged again. Raises `StoreUnavailable` if they never stand still.
    """
    view, left, changed = names.user_history_view(rule.id), dict(updates), 0
    for _ in range(_ATTEMPTS):
        writes = _merged(rows, view, rule, left)
        outcome = rows.replace_rows(writes)
        changed += sum(outcome)
        lost = [write.key for write, written in zip(writes, outcome, strict=True) if not written]
        left = {key: left[key] for key in lost}
        if not left:
            return changed
        time.sleep(random.uniform(0, _PAUSE_SECONDS))
    raise StoreUnavailable(f"{len(left)} users' histories change faster than they can be merged; try again")


def _merged(
    rows: RowStore, view: str, rule: HistoryRule, updates: Mapping[bytes, HistoryUpdate]
) -> list[RowWrite]:
    keys = list(updates)
    stored = rows.read_fields(keys, (online.AS_OF_FIELD, online.FORGOTTEN_FIELD, view))
    before: dict[bytes, tuple[bytes | None, online.Cell | None]] = {}
    columns: tuple[list[int], list[int], list[str], list[str]] = ([], [], [], [])
    for place, (key, (as_of, forgotten, raw)) in enumerate(zip(keys, stored, strict=True)):
        update = updates[key]
        if forgotten is not None and update.as_of_us <= online.decode_time(forgotten):
            continue
        cell = None if raw is None else online.decode_cell(raw)
        before[key] = (as_of, cell)
        known = [] if cell is None else online.decode_history(cell.payload)
        union = (*known, *update.entries)
        columns[0].extend([place] * len(union))
        for column, part in zip(columns[1:], zip(*union, strict=True), strict=bool(union)):
            column.extend(part)  # type: ignore[attr-defined]
    entries = _newest(columns, rule.max_length)
    writes = []
    for place, key in enumerate(keys):
        if key not in before:
            continue
        as_of, cell = before[key]
        payload = online.encode_history(entries.get(place, []))
        newest = max(updates[key].as_of_us, cell.as_of_us if cell else updates[key].as_of_us)
        if cell is not None and cell.payload == payload and cell.as_of_us == newest:
            continue
        revision = newest if as_of is None else max(newest, online.decode_time(as_of) + 1)
        if cell is not None and cell.payload != payload:
            # entries older than the history's vectors leave these behind, too
            newest = revision
        fields = {
            online.AS_OF_FIELD: online.encode_time(revision),
            view: online.encode_cell(newest, payload, cell.sequence if cell else 0),
        }
        writes.append(RowWrite(key, as_of, fields))
    return writes


def _newest(
    columns: tuple[list[int], list[int], list[str], list[str]], max_length: int
) -> dict[int, list[HistoryEntry]]:
    """Entries by place of the row, through the one implementation of histories."""
    frame = pl.DataFrame(
        dict(zip((c.USER_ID, c.EVENT_TIMESTAMP, c.EVENT_ID, c.ITEM_ID), columns, strict=True)),
        schema={**ENTRY_SCHEMA, c.USER_ID: pl.Int64},
    ).with_columns(pl.col(c.USER_ID).cast(pl.String))
    kept = newest_entries(frame, max_length)
    entries = list(map(HistoryEntry._make, kept.select(ORDER).rows()))
    found, start = {}, 0
    for count, place in kept[c.USER_ID].rle().struct.unnest().rows():
        found[int(place)] = entries[start : start + count]
        start += count
    return found
