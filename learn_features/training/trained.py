"""All that the optimiser moves: the towers and, beside them, the table of item residuals."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learn_features.towers.model import Towers


class Trained(nn.Module):
    """Towers and the residuals (n, D) of the items that training may see; the towers know no ids.

    Args:
        items: positions (n,) in the catalogue of the items with a residual, rising.
        catalogue: how many items there are.
        row_dropout: share of residuals that a step does without, as it does for a new item.
    """

    row: Tensor

    def __init__(
        self, towers: Towers, items: NDArray[np.int64], catalogue: int, *, row_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.towers = towers
        self.row_dropout = row_dropout
        self.items = items
        self.residuals: nn.Parameter | None = None
        if towers.config.residuals:
            self.residuals = nn.Parameter(torch.zeros(len(items), towers.config.dimension))
            row = torch.full((catalogue,), -1, dtype=torch.int64)
            row[torch.from_numpy(items)] = torch.arange(len(items))
            self.register_buffer("row", row, persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the towers are."""
        return self.towers.log_scale.device

    def residual(self, items: Tensor) -> Tensor | None:
        """Residuals (..., D) of `items` (...) int64, catalogue positions; zeros where an item has none.

        In training each is left out with probability `row_dropout`, unscaled. None without a table.
        """
        if self.residuals is None:
            return None
        row = self.row[items]
        kept = row >= 0
        if self.training and self.row_dropout:
            kept = kept & (torch.rand(row.shape, device=row.device) >= self.row_dropout)
        return self.residuals[row.clamp_min(0)] * kept.unsqueeze(-1)

    @torch.no_grad()
    def by_item(self) -> Tensor | None:
        """Residuals (catalogue, D) of every item, zeros where an item has none."""
        if self.residuals is None:
            return None
        table = self.residuals.new_zeros(len(self.row), self.residuals.shape[1])
        table[torch.from_numpy(self.items).to(table.device)] = self.residuals
        return table

    @torch.no_grad()
    def set_residuals(self, table: NDArray[np.float32]) -> None:
        """Start from residuals (n, D), in the order of `items`."""
        if self.residuals is not None:
            self.residuals.copy_(torch.from_numpy(table))

    def named_state(self) -> dict[str, Tensor]:
        """Every parameter, and every buffer that a file keeps, once, under its first name."""
        buffers = dict(self.named_buffers())
        buffers.pop("row", None)
        return {**dict(self.named_parameters()), **buffers}
