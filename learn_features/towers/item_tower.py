"""The item tower: one content vector, and a residual if there is one, to one item vector."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learn_features.towers.blocks import ContentInput, PreferenceAlignment
from learn_features.towers.config import TowerConfig
from learn_features.towers.dropout import Dropout
from learn_features.towers.similar_items import SimilarItems


class Projection(nn.Module):
    """Linear map plus a small MLP beside it."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.content_dimension, config.dimension)
        self.mlp = nn.Sequential(
            nn.Linear(config.content_dimension, config.item_hidden),
            nn.GELU(),
            Dropout(config.dropout),
            nn.Linear(config.item_hidden, config.dimension),
        )

    def forward(self, content: Tensor) -> Tensor:
        """(..., C) to (..., D)."""
        projected: Tensor = self.linear(content) + self.mlp(content)
        return projected


class ItemTower(nn.Module):
    """Item vectors in one of the variants of `towers.config.ItemVariant`.

    Args:
        config: architecture.
        content_input: shared with the user tower.
        alignment: the user tower's PAL, used where the weights are shared.
    """

    moved: Tensor | None
    """(D,): what of the projection's bias moves new items (`training.new_items`); a note, which nothing
    here reads, for a training that starts from these towers. None: new items cannot be told."""

    def __init__(
        self, config: TowerConfig, content_input: ContentInput, alignment: PreferenceAlignment
    ) -> None:
        super().__init__()
        self.register_buffer("moved", torch.zeros(config.dimension) if config.places_new_items else None)
        self.variant, self.dimension = config.item_variant, config.dimension
        self.residuals = config.residuals
        self.input = content_input
        self.alignment: PreferenceAlignment | None = None
        self.projection: Projection | None = None
        self.similar = SimilarItems(config) if config.borrows else None
        if self.variant in ("sequence", "single"):
            self.alignment = alignment if config.shared_weights else PreferenceAlignment(config)
        elif self.variant == "projection":
            self.projection = Projection(config)

    def forward(self, content: Tensor, residual: Tensor | None = None) -> Tensor:
        """(B, C) float32 to unit vectors (B, D): every item for itself.

        `residual` (B, D): what training learned of each item beside its content; zeros, or None for all,
        where it has seen nothing of them. Such items borrow from similar ones, where the towers do.
        `ValueError` if residuals are given to towers that were configured without.
        """
        aligned = self.aligned(content)
        if self.similar is not None and self.similar.items:
            borrowed = self.borrowed(content)
            if residual is not None:
                borrowed = borrowed * (residual == 0).all(dim=-1, keepdim=True)
            aligned = aligned + borrowed
        return self.finished(aligned, residual)

    def borrowed(self, content: Tensor) -> Tensor:
        """What items of these contents (B, C) borrow of similar ones if they are new, (B, D)."""
        if self.similar is None or not self.similar.items:
            return content.new_zeros(len(content), self.dimension)
        lent: Tensor = self.similar(self.input(content))
        return lent

    def each(self, content: Tensor, residuals: Tensor | None = None) -> Tensor:
        """Items of many sequences, each for itself, (B, L, C) to unit vectors (B, L, D).

        `residuals` (B, L, D), as in `forward`. Nothing is borrowed: what a user took says enough, and
        histories are long.
        """
        flat = None if residuals is None else residuals.flatten(0, 1)
        aligned = self.aligned(content.flatten(0, 1))
        return self.finished(aligned, flat).unflatten(0, content.shape[:2])

    def targets(self, content: Tensor, residuals: Tensor | None = None) -> Tensor:
        """Target sequences in training, (B, T, C) and `residuals` (B, T, D) to unit vectors (B, T, D).

        Variant `sequence` reads each row causally, the others item by item.
        """
        if self.alignment is not None and self.variant == "sequence":
            return self.finished(self.alignment(self.input(content)), residuals)
        return self.each(content, residuals)

    def aligned(self, content: Tensor) -> Tensor:
        """(B, C) to (B, D): what content alone says, not yet normalised."""
        aligned = content
        if self.alignment is not None:
            aligned = self.alignment(self.input(content).unsqueeze(1), alone=True).squeeze(1)
        elif self.projection is not None:
            aligned = self.projection(self.input(content))
        return aligned

    def finished(self, aligned: Tensor, residual: Tensor | None) -> Tensor:
        """Unit vectors (..., D) of what content says, (..., D), and `residual` (..., D)."""
        if residual is not None:
            if not self.residuals:
                raise ValueError(
                    "residuals were given to towers without; set residuals in their configuration"
                )
            aligned = aligned + residual
        return F.normalize(aligned, dim=-1)
