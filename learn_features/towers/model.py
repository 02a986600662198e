"""Both towers as one module."""

import math

import torch
from torch import Tensor, nn

from learn_features.towers.blocks import ContentInput, PreferenceAlignment
from learn_features.towers.config import TowerConfig
from learn_features.towers.item_tower import ItemTower
from learn_features.towers.user_tower import UserTower

MAX_SCALE = 100.0
"""Of a temperature that is learnt, as CLIP has it."""


class Towers(nn.Module):
    """User tower and item tower over one content input, with what they share registered in both.

    `towers.user(content (B, L, C), lengths (B,)) -> (B, D)`, `towers.item(content (B, C)) -> (B, D)`, with
    residuals and time gaps where the configuration has them: each can be exported on its own. The table
    of residuals is no part of the towers (`towers.residuals`): new items do without.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        content_input = ContentInput(config)
        alignment = PreferenceAlignment(config)
        self.item = ItemTower(config, content_input, alignment)
        self.user = UserTower(config, content_input, alignment, self.item)
        log_scale = torch.tensor(-math.log(config.temperature))
        self.log_scale = nn.Parameter(log_scale, requires_grad=config.learnable_temperature)

    @property
    def scale(self) -> Tensor:
        """Factor on cosines in the losses, 1 / temperature."""
        return self.log_scale.exp()

    @torch.no_grad()
    def limit_scale(self) -> None:
        """At most `MAX_SCALE`, after each step: cut where it is used, nothing would lead back."""
        self.log_scale.clamp_(max=math.log(MAX_SCALE))

    def fit_input(self, content: Tensor) -> None:
        """Centre and scale content vectors by those of the training catalogue, (n, C)."""
        self.user.input.fit(content)

    def start_from_content(self, content: Tensor) -> None:
        """Begin near the geometry of the training catalogue's content (n, C), after `fit_input`.

        `PreferenceAlignment.start_from` says how.
        """
        scaled = (content.float() - self.user.input.mean) / self.user.input.scale
        self.user.alignment.start_from(scaled, back=self.config.item_variant == "content")
        if self.item.alignment is not None and self.item.alignment is not self.user.alignment:
            self.item.alignment.start_from(scaled)
