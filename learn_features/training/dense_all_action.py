"""The paper's objective: dense all action over a cut of each user's sequence."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from learn_features.data.sequences import Sequences
from learn_features.training import cuts, losses
from learn_features.training.content_table import ContentTable
from learn_features.training.cuts import CutBatch
from learn_features.training.ranks import Ranks
from learn_features.training.recipe import Recipe
from learn_features.training.trained import Trained

_PADDING = -1
"""Stands for no item among target ids."""


class DenseAllAction:
    """Every sampled history position against every sampled target of the same user.

    The negatives are the targets of the batch's other users, of all ranks.
    """

    def __init__(self, sequences: Sequences, content: ContentTable, recipe: Recipe, ranks: Ranks) -> None:
        self._sequences, self._content, self._recipe, self._ranks = sequences, content, recipe, ranks
        whole = cuts.steps_per_epoch(sequences, recipe)
        self.steps = min(whole, max(1, recipe.max_steps // recipe.epochs))
        self._log_frequency: Tensor | None = None
        if recipe.logq:
            counts = np.bincount(sequences.items, minlength=len(content)).clip(1)
            self._log_frequency = content.to_device(np.log(counts / counts.sum()).astype(np.float32))

    def batches(self, rng: np.random.Generator) -> Iterator[CutBatch]:
        return cuts.cut_batches(self._sequences, self._recipe, steps=self.steps, rng=rng)

    def part(self, batch: CutBatch, number: int, of: int) -> CutBatch:
        return batch.part(number, of)

    def pairs(self, batch: CutBatch) -> int:
        return batch.pairs

    def loss(self, model: Trained, batch: CutBatch, rng: np.random.Generator) -> Tensor:
        return self.contrast(self.encode(model, batch), [batch])

    def encode(self, model: Trained, batch: CutBatch) -> tuple[Tensor, Tensor, Tensor]:
        """User vectors (B, Nh, D), item vectors (B, Nt, D), scale ()."""
        content, towers = self._content, model.towers
        history, places, targets, target_places = (
            content.to_device(part)
            for part in (batch.history, batch.history_positions, batch.targets, batch.target_positions)
        )
        gaps = content.to_device(batch.history_gaps) if towers.config.time_gaps else None
        users = towers.user.positions(
            content.rows(batch.history), residuals=model.residual(history), gaps=gaps
        )
        items = towers.item.targets(content.rows(batch.targets), model.residual(targets))
        return _at(users, places), _at(items, target_places), towers.scale

    def contrast(self, vectors: tuple[Tensor, ...], parts: Sequence[CutBatch]) -> Tensor:
        users, items, scale = vectors
        ids = np.concatenate(
            [
                np.where(p.target_real, np.take_along_axis(p.targets, p.target_positions, 1), _PADDING)
                for p in parts
            ]
        )
        user_real = self._content.to_device(np.concatenate([p.history_real for p in parts]))
        everybodys = self._ranks.gather(self._content.to_device(ids))
        log_frequency = self._log_frequency
        return losses.dense_all_action(
            users,
            self._ranks.gather(items),
            everybodys,
            user_real,
            everybodys != _PADDING,
            scale,
            first=self._ranks.rank * len(users),
            log_frequency=None if log_frequency is None else log_frequency[everybodys.clamp_min(0)],
        )


def _at(vectors: Tensor, places: Tensor) -> Tensor:
    """(B, L, D) at places (B, N) to (B, N, D)."""
    return vectors.gather(1, places.unsqueeze(-1).expand(-1, -1, vectors.shape[-1]))
