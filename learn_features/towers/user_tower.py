"""The user tower: a history of content vectors, residuals and time gaps to a user vector."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learn_features.towers.blocks import ContentInput, PreferenceAlignment
from learn_features.towers.config import TowerConfig
from learn_features.towers.example_age import ExampleAge
from learn_features.towers.item_tower import ItemTower
from learn_features.towers.time_gaps import TimeGaps

START_EXPONENT = 0.5
"""Recency weights start as (age + 1) ** -0.5, near what tuned item-CF often ends with."""


class RecencySum(nn.Module):
    """At each position, the mean of the values so far, weighted by learned weights of age."""

    def __init__(self, max_length: int) -> None:
        super().__init__()
        age = torch.arange(max_length, dtype=torch.float32)
        self.log_weights = nn.Parameter(-START_EXPONENT * torch.log1p(age))

    @torch.no_grad()
    def start(self, exponent: float) -> None:
        """Weights of (age + 1) ** -exponent, age 0 being the newest entry."""
        age = torch.arange(len(self.log_weights), dtype=torch.float32)
        self.log_weights.copy_(-exponent * torch.log1p(age))

    def forward(self, values: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D); position i sums positions ≤ i."""
        place = torch.arange(values.shape[1], device=values.device)
        age = place[:, None] - place[None, :]
        weights = self.log_weights[age.clamp(0, self.log_weights.shape[0] - 1)]
        weights = torch.softmax(weights.masked_fill(age < 0, -torch.inf), dim=-1)
        return weights @ values


class UserTower(nn.Module):
    """User vectors from histories: PAL, optionally gated with the recency sum of the item vectors."""

    def __init__(
        self,
        config: TowerConfig,
        content_input: ContentInput,
        alignment: PreferenceAlignment,
        items: ItemTower,
    ) -> None:
        super().__init__()
        self.input = content_input
        self.alignment = alignment
        # residuals reach the transformer within the item vectors
        self.vector_input = (
            nn.Linear(config.dimension, config.width, bias=False) if config.residuals else None
        )
        self.gaps = TimeGaps(config.width) if config.time_gaps else None
        self.example_age = ExampleAge(config.dimension) if config.example_age else None
        self.items = items if config.recency_sum or config.residuals else None
        self.recency: RecencySum | None = None
        if config.recency_sum:
            self.recency = RecencySum(config.max_length)
            self.gate = nn.Linear(2 * config.dimension, config.dimension)

    def start_recency(self, exponent: float) -> None:
        """Let recency weights start as (age + 1) ** -`exponent`; nothing without a recency sum."""
        if self.recency is not None:
            self.recency.start(exponent)

    def positions(
        self,
        content: Tensor,
        *,
        residuals: Tensor | None = None,
        gaps: Tensor | None = None,
        ages: Tensor | None = None,
        item_vectors: Tensor | None = None,
    ) -> Tensor:
        """One user vector after each history entry, (B, L, C) to unit vectors (B, L, D).

        `residuals` (B, L, D): those of the history's items, as the item tower takes them; None: all zeros.
        `gaps` (B, L) float32: seconds since the previous entry (`data.time_gaps`), where the towers read
        them. `ages` (B, L) or (B, 1) float32: how many seconds before the end of the log each vector
        is asked for, where the towers read them; None: at its end. `item_vectors` (B, L, D): those of the
        history where the caller has them already.
        Raises `ValueError` for inputs that the towers were configured without, and for missing gaps.
        """
        if residuals is not None and self.vector_input is None:
            raise ValueError("residuals were given to towers without; set residuals in their configuration")
        if ages is not None and self.example_age is None:
            raise ValueError("ages were given to towers without; set example_age in their configuration")
        if item_vectors is None:
            item_vectors = self.item_vectors(content, residuals)
        aligned = self.alignment(self.input(content), self.beside(item_vectors, gaps))
        return self.finished(aligned, item_vectors, ages)

    def item_vectors(self, content: Tensor, residuals: Tensor | None) -> Tensor | None:
        """Those of histories' items (B, L, D), if the tower reads them; arguments as in `positions`."""
        return None if self.items is None else self.items.each(content, residuals)

    def finished(
        self, aligned: Tensor, item_vectors: Tensor | None = None, ages: Tensor | None = None
    ) -> Tensor:
        """Unit vectors (B, L, D) of what the transformer says, (B, L, D); the rest as in `positions`."""
        if self.recency is not None and item_vectors is not None:
            summed = self.recency(item_vectors)
            gate = torch.sigmoid(self.gate(torch.cat((aligned, summed), dim=-1)))
            aligned = gate * aligned + (1 - gate) * summed
        if self.example_age is not None:
            aligned = aligned + self.example_age(ages)
        return F.normalize(aligned, dim=-1)

    def beside(self, item_vectors: Tensor | None, gaps: Tensor | None) -> Tensor | None:
        """What the transformer reads beside the content, (B, L, width)."""
        if (gaps is None) != (self.gaps is None):
            raise ValueError(
                "the towers read time gaps, and none were given"
                if gaps is None
                else "time gaps were given to towers that read none; set time_gaps in their configuration"
            )
        parts = []
        if self.vector_input is not None and item_vectors is not None:
            parts.append(self.vector_input(item_vectors))
        if self.gaps is not None and gaps is not None:
            parts.append(self.gaps(gaps))
        return sum(parts[1:], parts[0]) if parts else None

    def forward(
        self,
        content: Tensor,
        lengths: Tensor,
        residuals: Tensor | None = None,
        gaps: Tensor | None = None,
        ages: Tensor | None = None,
    ) -> Tensor:
        """The users' vectors (B, D), float32 and of unit length.

        `content` (B, L, C) float32: histories, oldest entry first, padded on the right with zeros;
        `lengths` (B,) int64: real entries, at least 1; `residuals` and `gaps` as in `positions`, padded
        alike; `ages` (B,) likewise. Attention is causal, so padding is never seen.
        """
        last = (lengths - 1).clamp_min(0)
        asked = None if ages is None else ages.unsqueeze(-1)
        vectors = self.positions(content, residuals=residuals, gaps=gaps, ages=asked)
        index = last[:, None, None].expand(-1, 1, vectors.shape[-1])
        return vectors.gather(1, index).squeeze(1)
