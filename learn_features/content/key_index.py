"""An in-memory map from 128-bit keys to pairs of numbers: three sorted arrays, 32 bytes an entry."""

import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.uint64]
"""(n, 2)"""


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
        found = np.zeros(len(keys), dtype=bool)
        if not len(self._keys) or not len(keys):
            return values, found
        places = np.searchsorted(self._keys[:, 0], keys[:, 0])
        # Two keys of 31 million share their first half once in 40 000 catalogues: step over them.
        open_rows = np.arange(len(keys))
        while len(open_rows):
            at = places[open_rows]
            inside = at < len(self._keys)
            open_rows, at = open_rows[inside], at[inside]
            same_half = self._keys[at, 0] == keys[open_rows, 0]
            open_rows, at = open_rows[same_half], at[same_half]
            hit = self._keys[at, 1] == keys[open_rows, 1]
            values[open_rows[hit]] = self._values[at[hit]]
            found[open_rows[hit]] = True
            open_rows = open_rows[~hit]
            places[open_rows] += 1
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
        # column-major: a search reads one column, and a strided one would be copied each time
        self._keys = np.asfortranarray(keys[last])
        self._values = values[order][last]
