"""Ids and texts as 128-bit keys, and a map from keys to numbers: sorted segments, newest first.

New entries are sorted in memory, 16 bytes a key and 8 a number; a segment that is sorted on disk already
(`content.compaction`) is searched in its memory map and takes no memory of its own.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.uint64]
"""(n, 2)"""
Column = NDArray[np.uint64]
"""(n,)"""

KEY_BYTES = 16


def id_keys(ids: Sequence[str]) -> Pairs:
    """The keys (n, 2) that stand for `ids`: the first 16 bytes of each one's BLAKE2b."""
    return pairs([hashlib.blake2b(one.encode(), digest_size=KEY_BYTES).digest() for one in ids])


def pairs(digests: Sequence[bytes]) -> Pairs:
    """Digests of 16 bytes each as keys (n, 2)."""
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)


def find_rows(sorted_keys: Pairs, keys: Pairs) -> NDArray[np.int64]:
    """Row (n,) of each of `keys` (n, 2) in `sorted_keys`, -1 where it is not there.

    `sorted_keys` should be column-major: a search reads one column, and a strided one is copied each time.
    """
    return _find(sorted_keys[:, 0], sorted_keys[:, 1], keys)


class _Segment(NamedTuple):
    """Keys in order of their first halves, each once."""

    high: Column
    low: Column
    values: tuple[Column, ...]


class KeyIndex:
    """Key → `width` numbers. Later additions of a key replace earlier ones."""

    def __init__(self, width: int = 2) -> None:
        self._width = width
        self._segments: list[_Segment] = []  # oldest first, each less than half as long as the one before
        self._added: list[tuple[Pairs, Pairs]] = []

    def __len__(self) -> int:
        self._take_in()
        keys = [np.stack([segment.high, segment.low], axis=1) for segment in self._segments]
        return len(np.unique(np.concatenate(keys), axis=0)) if len(keys) > 1 else sum(map(len, keys))

    def add(self, keys: Pairs, values: Pairs) -> None:
        """Add n keys (n, 2) with their values (n, width); they are sorted at the next search."""
        self._added.append((keys, values))

    def add_sorted(self, high: Column, low: Column, values: tuple[Column, ...]) -> None:
        """Add keys that are in order already, each once, with columns (n,) of values; nothing is copied."""
        self._take_in()
        self._segments.append(_Segment(high, low, values))

    def find(self, keys: Pairs) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Values (n, width) of `keys` (n, 2), zeros where there is none, and which were found (n,)."""
        self._take_in()
        values = np.zeros((len(keys), self._width), dtype=np.uint64)
        found = np.zeros(len(keys), dtype=np.bool_)
        asked = np.arange(len(keys))
        for segment in reversed(self._segments):
            rows = _find(segment.high, segment.low, keys[asked])
            hit = rows >= 0
            for place, column in enumerate(segment.values):
                values[asked[hit], place] = column[rows[hit]]
            found[asked[hit]] = True
            asked = asked[~hit]
            if not len(asked):
                break
        return values, found

    def _take_in(self) -> None:
        if not self._added:
            return
        keys = np.concatenate([k for k, _ in self._added])
        values = np.concatenate([v for _, v in self._added])
        self._added = []
        newest = _sorted(keys, values)
        # Merging only with what is at most twice as long copies an entry a few times, not once an addition.
        while self._segments and len(self._segments[-1].high) <= 2 * len(newest.high):
            newest = _merged(self._segments.pop(), newest)
        self._segments.append(newest)


def _sorted(keys: Pairs, values: NDArray[np.uint64]) -> _Segment:
    """In order of keys; of several entries for one the last."""
    order = np.lexsort((np.arange(len(keys)), keys[:, 1], keys[:, 0]))
    keys = keys[order]
    last = np.append((keys[1:] != keys[:-1]).any(axis=1), True) if len(keys) else np.zeros(0, np.bool_)
    columns = tuple(np.ascontiguousarray(values[order[last], place]) for place in range(values.shape[1]))
    return _Segment(np.ascontiguousarray(keys[last, 0]), np.ascontiguousarray(keys[last, 1]), columns)


def _merged(older: _Segment, newest: _Segment) -> _Segment:
    """Both in one, column by column; for a key of both, the newer values."""
    replaced = _find(older.high, older.low, np.stack([newest.high, newest.low], axis=1))
    kept = np.ones(len(older.high), dtype=np.bool_)
    kept[replaced[replaced >= 0]] = False
    places = np.searchsorted(older.high[kept], newest.high) + np.arange(len(newest.high))
    is_newer = np.zeros(int(kept.sum()) + len(newest.high), dtype=np.bool_)
    is_newer[places] = True

    def both(old: Column, new: Column) -> Column:
        column = np.empty(len(is_newer), dtype=np.uint64)
        column[is_newer] = new
        column[~is_newer] = old[kept]
        return column

    values = tuple(both(*column) for column in zip(older.values, newest.values, strict=True))
    return _Segment(both(older.high, newest.high), both(older.low, newest.low), values)


def _find(high: Column, low: Column, keys: Pairs) -> NDArray[np.int64]:
    rows = np.full(len(keys), -1, dtype=np.int64)
    if not len(high) or not len(keys):
        return rows
    places = np.searchsorted(high, keys[:, 0])
    # Two keys of 31 million share their first half once in 40 000 catalogues: step over them.
    open_rows = np.arange(len(keys))
    while len(open_rows):
        at = places[open_rows]
        inside = at < len(high)
        open_rows, at = open_rows[inside], at[inside]
        same_half = high[at] == keys[open_rows, 0]
        open_rows, at = open_rows[same_half], at[same_half]
        hit = low[at] == keys[open_rows, 1]
        rows[open_rows[hit]] = at[hit]
        open_rows = open_rows[~hit]
        places[open_rows] += 1
    return rows
