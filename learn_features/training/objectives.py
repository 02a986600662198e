"""What is trained: a source of batches and the loss of one. Batches carry indices; content vectors
stay in one table."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from learn_features.data.sequences import Sequences
from learn_features.towers.model import Towers
from learn_features.training import cuts, losses, windows
from learn_features.training.recipe import Recipe


class Objective(Protocol):
    """One training task over one set of sequences."""

    steps: int
    """Optimiser steps in an epoch."""

    def losses(self, towers: Towers, rng: np.random.Generator) -> Iterator[Tensor]:
        """The losses of one epoch's batches, each to be stepped on before the next is asked for."""


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


def objective(sequences: Sequences, content: Tensor, recipe: Recipe, max_length: int) -> Objective:
    """The recipe's objective. `content` (n items, C), any float type, on the training device."""
    if recipe.loss == "softmax":
        return NextItem(sequences, content, recipe, max_length)
    return DenseAllAction(sequences, content, recipe)
