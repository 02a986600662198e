"""What training learned of each item beside its content. NumPy only: serving reads it too.

The file (`item_residuals.safetensors`) holds
  `keys`       uint64 (2, n): the items' 128-bit keys (`content.key_index`), ascending
  `residuals`  float32 (n, D): a row for each key, as it is served
  `heights`, `direction`  float32 (n,) and (D,): what of each is not learnt but a lift by demand
             (`training.demand`), height · direction; both missing where nothing was lifted
and is read through a memory map: a look-up touches the pages of a binary search and of the rows it
returns, so 31 million items cost no memory of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learn_features.content.key_index import find_rows, id_keys
from learn_features.durable import whole
from learn_features.errors import BundleError, DataError
from learn_features.towers.tensor_file import disk_errors, mapped

_KEYS, _RESIDUALS, _HEIGHTS, _DIRECTION = "keys", "residuals", "heights", "direction"


@dataclass(frozen=True)
class Lift:
    """How far each of n items was lifted, `heights` (n,), and where to, `direction` (D,); float32."""

    heights: NDArray[np.float32]
    direction: NDArray[np.float32]

    def vectors(self) -> NDArray[np.float32]:
        """(n, D)"""
        return self.heights[:, None] * self.direction

    def of(self, rows: NDArray[np.integer]) -> "Lift":
        """Of items at `rows` only."""
        return Lift(np.ascontiguousarray(self.heights[rows]), self.direction)


class ItemResiduals:
    """A residual (D,) float32 for each item that training knows: what it learned of taken ones, and what
    keeps those that nobody took in their place. Zeros for all others, and wherever residuals are read a row
    of zeros means just that: a new item, which borrows and is moved.

    Args:
        keys: uint64 (2, n), ascending, none twice.
        table: float32 (n, D), a row for each key.
        lift: of the n items, what of their rows is a lift.
    """

    def __init__(
        self, keys: NDArray[np.uint64], table: NDArray[np.float32], lift: Lift | None = None
    ) -> None:
        self._keys, self._table, self._lift = keys, table, lift

    @classmethod
    def of(
        cls, item_ids: Sequence[str], table: NDArray[np.float32], lift: Lift | None = None
    ) -> "ItemResiduals":
        """Of items in any order and their rows (n, D); `DataError` for repeats and what is not finite."""
        if table.ndim != 2 or len(table) != len(item_ids):
            raise DataError(f"item residuals: {len(item_ids)} items and a table of shape {table.shape}")
        broken = np.flatnonzero(~np.isfinite(table).all(axis=1))
        if len(broken):
            first = ", ".join(item_ids[row] for row in broken[:5])
            raise DataError(
                f"item residuals: {len(broken)} of {len(table)} are not finite, first of items {first};"
                " training has diverged, lower training.recipe.residual_rate"
            )
        keys = id_keys(item_ids)
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        ascending = np.ascontiguousarray(keys[order].T)
        again = np.flatnonzero((ascending[:, 1:] == ascending[:, :-1]).all(axis=0))
        if len(again):
            first = ", ".join(item_ids[row] for row in order[again[:5]])
            raise DataError(f"item residuals: {len(again)} items are named more than once, first {first}")
        lifted = None if lift is None else lift.of(order)
        return cls(ascending, np.ascontiguousarray(table[order], dtype=np.float32), lifted)

    def __len__(self) -> int:
        """Items that have one."""
        return len(self._table)

    @property
    def dimension(self) -> int:
        """D"""
        return int(self._table.shape[1])

    def lookup(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        """Residuals (len(item_ids), D), zeros where an item has none."""
        found = np.zeros((len(item_ids), self.dimension), dtype=np.float32)
        rows = find_rows(self._keys.T, id_keys(item_ids))
        known = rows >= 0
        found[known] = self._table[rows[known]]
        return found

    def unlifted(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        """The same without the lift, for a training that goes on from them."""
        found = self.lookup(item_ids)
        if self._lift is not None:
            rows = find_rows(self._keys.T, id_keys(item_ids))
            known = rows >= 0
            found[known] -= self._lift.of(rows[known]).vectors()
        return found

    def save(self, file: Path) -> None:
        """Write to `file`, whole or not at all."""
        from safetensors.numpy import save_file

        tensors: dict[str, NDArray] = {_KEYS: np.asarray(self._keys), _RESIDUALS: np.asarray(self._table)}
        if self._lift is not None:
            tensors |= {
                _HEIGHTS: np.asarray(self._lift.heights), _DIRECTION: np.asarray(self._lift.direction)
            }  # fmt: skip
        with whole(file) as aside, disk_errors(file):
            save_file(tensors, aside)

    @classmethod
    def load(cls, file: Path, dimension: int | None = None) -> "ItemResiduals":
        """Map the residuals in `file`; `BundleError` if it holds something else, or another width."""
        tensors = mapped(file)
        shapes = {name: (tensor.dtype.str, tensor.shape) for name, tensor in tensors.items()}
        keys, table = tensors.get(_KEYS), tensors.get(_RESIDUALS)
        heights, direction = tensors.get(_HEIGHTS), tensors.get(_DIRECTION)
        lifted = heights is not None and direction is not None
        if (
            keys is None
            or table is None
            or len(tensors) != (4 if lifted else 2)
            or (table.dtype, table.ndim) != (np.float32, 2)
            or (keys.dtype, keys.shape) != (np.uint64, (2, len(table)))
            or (heights is not None and (heights.dtype, heights.shape) != (np.float32, table.shape[:1]))
            or (direction is not None and (direction.dtype, direction.shape) != (np.float32, table.shape[1:]))
        ):
            raise BundleError(f"{file}: is no table of item residuals, it holds {shapes}")
        if dimension is not None and table.shape[1] != dimension:
            raise BundleError(f"{file}: residuals have width {table.shape[1]}, the towers {dimension}")
        if (keys[0, 1:] < keys[0, :-1]).any():
            raise BundleError(f"{file}: its keys are not in order, so items would not be found; export again")
        lift = None if heights is None or direction is None else Lift(heights, direction)
        return cls(keys, table, lift)
