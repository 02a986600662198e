"""Next-item softmax: every entry is predicted from those before it."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from learn_features.data.sequences import Sequences
from learn_features.towers.model import Towers
from learn_features.training import losses, windows
from learn_features.training.recipe import Recipe


class NextItem:
    """Softmax over the trained catalogue (or a sample) at all positions.

    Items that no sequence holds are no negatives: new items are not pushed away from everybody.
    """

    def __init__(self, sequences: Sequences, content: Tensor, recipe: Recipe, max_length: int) -> None:
        self._sequences, self._content, self._recipe = sequences, content, recipe
        self._max_length = max_length
        self._pairs = windows.pairs(sequences)
        self._trained = torch.from_numpy(np.unique(sequences.items).astype(np.int64)).to(content.device)
        self._row = torch.full((len(content),), -1, dtype=torch.int64, device=content.device)
        self._row[self._trained] = torch.arange(len(self._trained), device=content.device)
        whole = windows.steps_per_epoch(self._pairs, recipe.pairs_per_step)
        self.steps = min(whole, max(1, recipe.max_steps // recipe.epochs))

    def losses(self, towers: Towers, rng: np.random.Generator) -> Iterator[Tensor]:
        device = self._content.device
        sampled = len(self._trained) > self._recipe.max_candidates
        for batch in windows.window_batches(
            self._sequences,
            self._pairs,
            max_length=self._max_length,
            pairs_per_step=self._recipe.pairs_per_step,
            steps=self.steps,
            rng=rng,
        ):
            items, rows, positions, targets = (
                torch.from_numpy(part).to(device)
                for part in (batch.items, batch.rows, batch.positions, batch.targets)
            )
            history = self._content[items].float()
            if sampled:
                users = towers.user.positions(history)[rows, positions]
                chosen = rng.choice(len(self._trained), size=self._recipe.max_candidates, replace=False)
                negatives = self._trained[torch.from_numpy(chosen).to(device)]
                distinct, which = torch.unique(targets, return_inverse=True)
                yield losses.sampled_softmax(
                    users,
                    towers.item(self._content[distinct].float())[which],
                    targets,
                    towers.item(self._content[negatives].float()),
                    negatives,
                    len(self._trained),
                    towers.scale,
                )
            else:
                catalogue = towers.item(self._content[self._trained].float())
                vectors = catalogue[self._row[items].clamp_min(0)]
                users = towers.user.positions(history, vectors)[rows, positions]
                yield losses.full_softmax(users, catalogue, self._row[targets], towers.scale)
