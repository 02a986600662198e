"""Ids and texts as 128-bit keys, and an in-memory map from keys to pairs of numbers: sorted arrays, 32
bytes an entry.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.uint64]
"""(n, 2)"""

KEY_BYTES = 16


def id_keys(ids: Sequence[str]) -> Pairs:
    """The keys (n, 2) that stand for `ids`: the first 16 bytes of each one's BLAKE2b."""
    raw = b"".join(hashlib.blake2b(one.encode(), digest_size=KEY_BYTES).digest() for one in ids)
    return np.frombuffer(raw, dtype="<u8").reshape(-1, 2)


def find_rows(sorted_keys: Pairs, keys: Pairs) -> NDArray[np.int64]:
    """Row (n,) of each of `keys` (n, 2) in `sorted_keys`, -1 where it is not there.

    `sorted_keys` should be column-major: a search reads one column, and a strided one is copied each time.
    """
    rows = np.full(len(keys), -1, dtype=np.int64)
    if not len(sorted_keys) or not len(keys):
        return rows
    places = np.searchsorted(sorted_keys[:, 0], keys[:, 0])
    # Two keys of 31 million share their first half once in 40 000 catalogues: step over them.
    open_rows = np.arange(len(keys))
    while len(open_rows):
        at = places[open_rows]
        inside = at < len(sorted_keys)
        open_rows, at = open_rows[inside], at[inside]
        same_half = sorted_keys[at, 0] == keys[open_rows, 0]
        open_rows, at = open_rows[same_half], at[same_half]
        hit = sorted_keys[at, 1] == keys[open_rows, 1]
        rows[open_rows[hit]] = at[hit]
        open_rows = open_rows[~hit]
        places[open_rows] += 1
    return rows


class KeyIndex:
    """Later additions of a key replace earlier ones."""

    def __init__(self) -> None:
        self._keys: Pairs = np.empty((0, 2), dtype=np.uint64)
        self._values: Pairs = np.empty((0, 2), dtype=np.uint64)
        self._added: list[tuple[Pairs, Pairs]] = []

    def __len__(self) -> int:
        self._merge()
        return len(self._keys)

    def add(self, keys: Pairs, values: Pairs) -> None:
        """Add n keys (n, 2) with their values (n, 2); the arrays are merged at the next search."""
        self._added.append((keys, values))

    def find(self, keys: Pairs) -> tuple[Pairs, NDArray[np.bool_]]:
        """Values (n, 2) of `keys` (n, 2), zeros where there is none, and which were found (n,)."""
        self._merge()
        values = np.zeros((len(keys), 2), dtype=np.uint64)
        rows = find_rows(self._keys, keys)
        found = rows >= 0
        values[found] = self._values[rows[found]]
        return values, found

    def _merge(self) -> None:
        if not self._added:
            return
        keys = np.concatenate([self._keys, *(k for k, _ in self._added)])
        values = np.concatenate([self._values, *(v for _, v in self._added)])
        self._added = []
        order = np.lexsort((np.arange(len(keys)), keys[:, 1], keys[:, 0]))
        keys = keys[order]
        last = np.append((keys[1:] != keys[:-1]).any(axis=1), True)
        self._keys = np.asfortranarray(keys[last])
        self._values = values[order][last]
