"""All that the optimiser moves: the towers and, beside them, the table of item residuals."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learn_features.towers.model import Towers
from learn_features.towers.residuals import Lift


class Trained(nn.Module):
    """Towers and the residuals (n, D) of the items that training may see; the towers know no ids.

    Args:
        items: positions (n,) in the catalogue of the items with a residual, rising.
        catalogue: how many items there are.
        row_dropout: share of residuals that a step does without, as it does for a new item.
        shrink: n / (n + `shrink`) of a residual learnt from n takings is served.
    """

    row: Tensor
    served_share: Tensor
    """(n of the table, 1): what of each residual is served."""
    items: NDArray[np.int64]
    """(n,): those that have a residual now, rising; all of the table's until `admit` says otherwise."""
    lift: Lift | None
    """What of the residuals of `items`, as they are served, is not learnt (`demand.lift_items`)."""

    def __init__(
        self,
        towers: Towers,
        items: NDArray[np.int64],
        catalogue: int,
        *,
        row_dropout: float = 0.0,
        shrink: float = 0.0,
    ) -> None:
        super().__init__()
        self.towers = towers
        self.row_dropout, self.shrink = row_dropout, shrink
        self._table_items = items
        self.lift = None
        self.residuals: nn.Parameter | None = None
        if towers.config.residuals:
            self.residuals = nn.Parameter(torch.zeros(len(items), towers.config.dimension))
        self.register_buffer("row", torch.empty(catalogue, dtype=torch.int64), persistent=False)
        self.register_buffer("served_share", torch.ones(len(items), 1), persistent=False)
        self._point_to(items)

    @torch.no_grad()
    def admit(self, taken: NDArray[np.integer]) -> None:
        """Let only items of `taken` (N,), one entry a taking, have a residual, of those in the table.

        What a phase sees nobody take is new to it: with a residual of its own it would be told from other
        new items, and pushed away from everybody. What is served of a residual stays what it was: where
        more takings stand behind it, it is less in training.
        """
        items, takings = np.unique(taken, return_counts=True)
        known = np.isin(items, self._table_items, assume_unique=True)
        rows = self._point_to(items[known].astype(np.int64))
        if self.residuals is None:
            return
        counts = torch.from_numpy(takings[known]).to(self.served_share)[:, None]
        served_share = torch.ones_like(self.served_share)
        served_share[rows] = counts / (counts + self.shrink)
        self.residuals.mul_(self.served_share / served_share)
        self.served_share.copy_(served_share)

    def _point_to(self, items: NDArray[np.int64]) -> Tensor:
        """Rows (n,) of `items` (n,), rising, in the table; only they have one now."""
        self.items = items
        rows = torch.from_numpy(np.searchsorted(self._table_items, items)).to(self.row.device)
        self.row.fill_(-1)[torch.from_numpy(items).to(self.row.device)] = rows
        return rows

    def borrow_nothing(self) -> None:
        """Empty the towers' table of similar items: training itself knows nothing of it."""
        if self.towers.item.similar is not None:
            self.towers.item.similar.make_room(0)

    @property
    def device(self) -> torch.device:
        """Where the towers are."""
        return self.towers.log_scale.device

    def residual(self, items: Tensor) -> Tensor | None:
        """Residuals (..., D) of `items` (...) int64, catalogue positions, as training has them; zeros where
        an item has none.

        In training mode each is left out with probability `row_dropout`, unscaled. None without a table.
        """
        if self.residuals is None:
            return None
        row = self.row[items]
        kept = row >= 0
        if self.training and self.row_dropout:
            kept = kept & (torch.rand(row.shape, device=row.device) >= self.row_dropout)
        return self.residuals[row.clamp_min(0)] * kept.unsqueeze(-1)

    @torch.no_grad()
    def by_item(self, items: Tensor | None = None, *, lifted: bool = True) -> Tensor | None:
        """Residuals (n, D) of `items` (n,) int64, default the catalogue's, as they are served, zeros where
        an item has none; without the lift only if not `lifted`."""
        if self.residuals is None:
            return None
        row = self.row if items is None else self.row[items]
        known = (row >= 0).unsqueeze(-1)
        row = row.clamp_min(0)
        served = self.served_share[row] * self.residuals[row]
        if self.lift is not None and not lifted:
            raised = torch.zeros_like(self.residuals)
            raised[self._rows()] = torch.from_numpy(self.lift.vectors()).to(self.device)
            served -= raised[row]
        return torch.where(known, served, 0.0)

    @torch.no_grad()
    def add(self, lift: Lift) -> None:
        """Lift `items` in their residuals."""
        assert self.residuals is not None
        assert self.lift is None
        rows = self._rows()
        self.residuals[rows] += torch.from_numpy(lift.vectors()).to(self.device) / self.served_share[rows]
        self.lift = lift

    def _rows(self) -> Tensor:
        """(n,): those of `items` in the table."""
        return self.row[torch.from_numpy(self.items).to(self.device)]

    @torch.no_grad()
    def set_residuals(self, table: NDArray[np.float32]) -> None:
        """Start from residuals (n, D) as they were served, one of each item of the table."""
        if self.residuals is not None:
            self.residuals.copy_(torch.from_numpy(table)).div_(self.served_share)

    def residuals_alone(self) -> Tensor | None:
        """A copy of the table, for `take_back`."""
        return None if self.residuals is None else self.residuals.detach().clone()

    @torch.no_grad()
    def take_back(self, table: Tensor | None) -> None:
        """Undo what was done to the residuals since `residuals_alone`."""
        if self.residuals is not None and table is not None:
            self.residuals.copy_(table)
            self.lift = None

    def named_state(self) -> dict[str, Tensor]:
        """Every parameter, and every buffer that a file keeps, once, under its first name."""
        buffers = {name: b for name, b in self.named_buffers() if name not in ("row", "served_share")}
        return {**dict(self.named_parameters()), **buffers}
