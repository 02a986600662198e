"""What a new item borrows from known items of similar content."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learn_features.towers.config import TowerConfig

TEMPERATURE = 0.05
"""Of the softmax over cosines of contents; from .03 to .07 nothing changes (docs/experiments.md)."""


class SimilarItems(nn.Module):
    """Attention of an item's content over that of known items; what comes back is their audiences' mean.

    A known item's audience is how the mean user vector at which it was taken differs from that of all.
    To take a new item's learned factors from the nearest in attributes is Gantner et al.'s idea (ICDM 2010).
    Filled when training is over (`training.audience`); empty it adds nothing, as in training itself.
    """

    contents: Tensor
    audiences: Tensor
    strength: Tensor

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.register_buffer("contents", torch.zeros(0, config.content_dimension))
        self.register_buffer("audiences", torch.zeros(0, config.dimension))
        self.register_buffer("strength", torch.zeros(()))

    @property
    def items(self) -> int:
        """How many known items lend."""
        return len(self.contents)

    @torch.no_grad()
    def fill(self, contents: Tensor, audiences: Tensor) -> None:
        """Lend from items of these contents (n, C), centred as by `ContentInput`, and audiences (n, D)."""
        self.contents = F.normalize(contents, dim=-1)
        self.audiences = audiences

    def make_room(self, items: int) -> None:
        """For as many known items, whose rows are to be copied in."""
        self.contents = self.contents.new_zeros(items, self.contents.shape[1])
        self.audiences = self.audiences.new_zeros(items, self.audiences.shape[1])

    def forward(self, content: Tensor) -> Tensor:
        """(B, C), centred, to (B, D)."""
        cosines = F.normalize(content, dim=-1) @ self.contents.T
        borrowed: Tensor = torch.softmax(cosines / TEMPERATURE, dim=-1) @ self.audiences
        return self.strength * borrowed
