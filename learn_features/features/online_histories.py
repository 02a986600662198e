"""Histories and forgotten users of the online store, which may know more than the log that is backfilled."""

import dataclasses
import random
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learn_features.contracts import columns as c
from learn_features.contracts import names, online, times
from learn_features.contracts.deployment import Space
from learn_features.contracts.history import HistoryEntry, HistoryRule
from learn_features.errors import StoreUnavailable
from learn_features.features.history_merge import HistoryUpdate, merge_histories
from learn_features.features.history_states import HistoryStates
from learn_features.features.offline_log import without_forgotten
from learn_features.features.row_store import RowStore, RowWrite

_USERS_A_BATCH = 2_000
_KEYS_A_READ = 5_000
_ATTEMPTS = 100
_PAUSE_SECONDS = 0.01


def without_forgotten_online(rows: RowStore, interactions: pl.DataFrame) -> pl.DataFrame:
    """`interactions` without what users did before they were forgotten, though the log may not say so yet."""
    users = interactions[c.USER_ID].unique().to_list()
    found: dict[str, int] = {}
    for user_id, [raw] in _fields(rows, c.USER_ID, users, [online.FORGOTTEN_FIELD]):
        if raw is not None:
            found[user_id] = online.decode_time(raw)
    forgotten = pl.DataFrame(
        {c.USER_ID: list(found), c.AS_OF: list(map(times.from_us, found.values()))},
        schema={c.USER_ID: pl.String, c.AS_OF: pl.Datetime("us", "UTC")},
    )
    return without_forgotten(interactions, forgotten)


def merge_all(rows: RowStore, space: Space, states: HistoryStates) -> int:
    """Merge histories into the online rows, as Feast's write to the history view does; rows changed."""
    as_of, changed = states.as_of_us.tolist(), 0
    for batch in _batches(states):
        updates = {
            online.entity_key(c.USER_ID, states.user_ids[place]): HistoryUpdate(entries, as_of[place])
            for place, entries in batch
        }
        changed += merge_histories(rows, space.history, updates)
    return changed


def known_online_since(rows: RowStore, rule: HistoryRule, states: HistoryStates) -> HistoryStates:
    """`states`, each at least as new as the online history that is the same.

    A vector of such a state replaces one that was made before older entries were merged in.
    """
    as_of = states.as_of_us.copy()
    view = names.user_history_view(rule.id)
    for batch in _batches(states):
        users = [states.user_ids[place] for place, _ in batch]
        for (place, entries), (_, [raw]) in zip(batch, _fields(rows, c.USER_ID, users, [view]), strict=True):
            cell = None if raw is None else online.decode_cell(raw)
            if cell is not None and cell.payload == online.encode_history(entries):
                as_of[place] = max(as_of[place], cell.as_of_us)
    return dataclasses.replace(states, as_of_us=as_of)


def mark_outdated(
    rows: RowStore, space_id: str, space: Space, states: HistoryStates, item_as_of: Mapping[str, int]
) -> int:
    """Make vectors stale that `states` and the items as of `item_as_of` (µs) gave and that are behind.

    A consumer may have written an event, a request to forget or an item online that was not in the log
    yet, while the row that came from the log looks newer. The history of such a user gets a time after
    the vector's, so that a sweep refreshes it. Returns how many were marked.
    """
    outdated = _outdated_items(rows, space_id, states, item_as_of)
    marked = 0
    for batch in _batches(states):
        left = {states.user_ids[place]: entries for place, entries in batch}
        for _ in range(_ATTEMPTS):
            writes = _marks(rows, space_id, space, left, outdated)
            outcome = rows.replace_rows(writes)
            marked += sum(outcome)
            lost = [online.entity_value(w.key) for w, done in zip(writes, outcome, strict=True) if not done]
            left = {user_id: left[user_id] for user_id in lost}
            if not left:
                break
            time.sleep(random.uniform(0, _PAUSE_SECONDS))
        else:
            raise StoreUnavailable(
                f"{len(left)} users' rows change faster than they can be marked; try again"
            )
    return marked


def _marks(
    rows: RowStore,
    space_id: str,
    space: Space,
    embedded: Mapping[str, list[HistoryEntry]],
    outdated: set[str],
) -> list[RowWrite]:
    history_view = names.user_history_view(space.history.id)
    fields = [online.AS_OF_FIELD, history_view, names.user_embedding_view(space_id)]
    writes = []
    for user_id, (as_of, raw_history, raw_vector) in _fields(rows, c.USER_ID, list(embedded), fields):
        if as_of is None or raw_history is None or raw_vector is None:
            continue
        history, vector = online.decode_cell(raw_history), online.decode_cell(raw_vector)
        streamed = vector.sequence > 0 or vector.payload == online.TOMBSTONE
        if streamed or vector.as_of_us < history.as_of_us:
            continue
        entries = embedded[user_id]
        same = history.payload == online.encode_history(entries)
        if same and not any(entry.item_id in outdated for entry in entries):
            continue
        revision = online.decode_time(as_of) + 1
        marked = {
            online.AS_OF_FIELD: online.encode_time(revision),
            history_view: online.encode_cell(revision, history.payload, history.sequence),
        }
        writes.append(RowWrite(online.entity_key(c.USER_ID, user_id), as_of, marked))
    return writes


def _outdated_items(
    rows: RowStore, space_id: str, states: HistoryStates, item_as_of: Mapping[str, int]
) -> set[str]:
    """Items of the histories of which the online store has a newer vector than the log."""
    items = states.entries[c.ITEM_ID].unique().to_list()
    found = set()
    for item_id, [raw] in _fields(rows, c.ITEM_ID, items, [names.item_embedding_view(space_id)]):
        if raw is None:
            continue
        known = item_as_of.get(item_id)
        if known is None or online.decode_cell(raw).as_of_us > known:
            found.add(item_id)
    return found


def _batches(states: HistoryStates) -> Iterator[list[tuple[int, list[HistoryEntry]]]]:
    """(place, entries) of all states, some at a time."""
    bounds: NDArray[np.int64] = states.offsets
    for first in range(0, len(states), _USERS_A_BATCH):
        last = min(first + _USERS_A_BATCH, len(states))
        some = states.entries[int(bounds[first]) : int(bounds[last])]
        entries = list(map(HistoryEntry._make, some.rows()))
        start = (bounds[first : last + 1] - bounds[first]).tolist()
        yield [(first + n, entries[start[n] : start[n + 1]]) for n in range(last - first)]


def _fields(
    rows: RowStore, join_key: str, ids: Sequence[str], fields: Sequence[str]
) -> Iterator[tuple[str, list[bytes | None]]]:
    """Each id with its fields, in order."""
    for first in range(0, len(ids), _KEYS_A_READ):
        some = ids[first : first + _KEYS_A_READ]
        keys = [online.entity_key(join_key, one) for one in some]
        yield from zip(some, rows.read_fields(keys, fields), strict=True)
