"""Item ids ↔ positions in the items table: the one place where they meet."""

from collections.abc import Sequence

import numpy as np
import polars as pl


class ItemIndex:
    """Immutable map from item id to its int32 position."""

    def __init__(self, item_ids: Sequence[str] | pl.Series) -> None:
        self.ids: list[str] = list(item_ids)
        self._positions = pl.DataFrame(
            {"id": pl.Series(self.ids, dtype=pl.String), "position": np.arange(len(self.ids), dtype=np.int32)}
        )
        if self._positions["id"].n_unique() != len(self.ids):
            raise ValueError("item ids repeat; each item has one position")

    def __len__(self) -> int:
        return len(self.ids)

    def encode(self, item_ids: Sequence[str] | pl.Series) -> np.ndarray:
        """Positions int32 (n,), -1 for unknown ids."""
        asked = pl.Series("id", item_ids, dtype=pl.String).to_frame()
        found = asked.join(self._positions, on="id", how="left", maintain_order="left")
        return found["position"].fill_null(-1).to_numpy().astype(np.int32)
