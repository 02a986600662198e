"""What is trained: a source of batches and the loss of one. Batches carry indices; content vectors
stay in one table."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from torch import Tensor

from learn_features.data.sequences import Sequences
from learn_features.towers.model import Towers
from learn_features.training.dense_all_action import DenseAllAction
from learn_features.training.next_item import NextItem
from learn_features.training.recipe import Recipe


class Objective(Protocol):
    """One training task over one set of sequences."""

    steps: int
    """Optimiser steps in an epoch."""

    def losses(self, towers: Towers, rng: np.random.Generator) -> Iterator[Tensor]:
        """The losses of one epoch's batches, each to be stepped on before the next is asked for."""


def objective(sequences: Sequences, content: Tensor, recipe: Recipe, max_length: int) -> Objective:
    """The recipe's objective. `content` (n items, C), any float type, on the training device."""
    if recipe.loss == "softmax":
        return NextItem(sequences, content, recipe, max_length)
    return DenseAllAction(sequences, content, recipe)
