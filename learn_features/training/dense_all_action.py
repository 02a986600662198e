"""The paper's objective: dense all action over a cut of each user's sequence."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from learn_features.data.sequences import Sequences
from learn_features.towers.model import Towers
from learn_features.training import cuts, losses
from learn_features.training.recipe import Recipe


class DenseAllAction:
    """The paper's: every sampled history position against every sampled target of the same user."""

    def __init__(self, sequences: Sequences, content: Tensor, recipe: Recipe) -> None:
        self._sequences, self._content, self._recipe = sequences, content, recipe
        whole = cuts.steps_per_epoch(sequences, recipe)
        self.steps = min(whole, max(1, recipe.max_steps // recipe.epochs))

    def losses(self, towers: Towers, rng: np.random.Generator) -> Iterator[Tensor]:
        device = self._content.device
        for batch in cuts.cut_batches(self._sequences, self._recipe, steps=self.steps, rng=rng):
            history, places, targets, target_places, real, target_real = (
                torch.from_numpy(part).to(device)
                for part in (
                    batch.history,
                    batch.history_positions,
                    batch.targets,
                    batch.target_positions,
                    batch.history_real,
                    batch.target_real,
                )
            )
            users = _gather(towers.user.positions(self._content[history].float()), places)
            items = _gather(towers.item.targets(self._content[targets].float()), target_places)
            ids = targets.gather(1, target_places)
            yield losses.dense_all_action(users, items, ids, real, target_real, towers.scale)


def _gather(vectors: Tensor, places: Tensor) -> Tensor:
    """(B, L, D) at places (B, N) to (B, N, D)."""
    return vectors.gather(1, places.unsqueeze(-1).expand(-1, -1, vectors.shape[-1]))
