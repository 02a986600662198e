"""The item tower: one content vector to one item vector."""

from torch import Tensor, nn
from torch.nn import functional as F

from learn_features.towers.blocks import ContentInput, PreferenceAlignment
from learn_features.towers.config import TowerConfig


class Projection(nn.Module):
    """Linear map plus a small MLP beside it."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.content_dimension, config.dimension)
        self.mlp = nn.Sequential(
            nn.Linear(config.content_dimension, config.item_hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
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

    def __init__(
        self, config: TowerConfig, content_input: ContentInput, alignment: PreferenceAlignment
    ) -> None:
        super().__init__()
        self.variant = config.item_variant
        self.input = content_input
        self.alignment: PreferenceAlignment | None = None
        self.projection: Projection | None = None
        if self.variant in ("sequence", "single"):
            self.alignment = alignment if config.shared_weights else PreferenceAlignment(config)
        elif self.variant == "projection":
            self.projection = Projection(config)

    def forward(self, content: Tensor) -> Tensor:
        """(B, C) float32 to unit vectors (B, D): every item for itself."""
        if self.alignment is not None:
            aligned = self.alignment(self.input(content).unsqueeze(1)).squeeze(1)
        elif self.projection is not None:
            aligned = self.projection(self.input(content))
        else:
            aligned = content
        return F.normalize(aligned, dim=-1)

    def each(self, content: Tensor) -> Tensor:
        """Items of many sequences, each for itself, (B, L, C) to unit vectors (B, L, D)."""
        return self(content.flatten(0, 1)).unflatten(0, content.shape[:2])

    def targets(self, content: Tensor) -> Tensor:
        """Target sequences in training, (B, T, C) to unit vectors (B, T, D).

        Variant `sequence` reads each row causally, the others item by item.
        """
        if self.alignment is not None and self.variant == "sequence":
            return F.normalize(self.alignment(self.input(content)), dim=-1)
        return self.each(content)
