"""What is trained: batches, and the loss of one. Batches carry indices; content vectors stay in one table."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from learn_features.data.sequences import Sequences
from learn_features.training.content_table import ContentTable
from learn_features.training.dense_all_action import DenseAllAction
from learn_features.training.item_to_item import ItemToItem
from learn_features.training.next_item import NextItem
from learn_features.training.ranks import Ranks
from learn_features.training.recipe import Recipe
from learn_features.training.trained import Trained


class Objective(Protocol):
    """One training task over one set of sequences.

    A batch is drawn whole, then cut into equal parts: one a process, and where gradients accumulate
    one a pass. The loss of a batch is the mean over its pairs, so that of its parts weighted by theirs.
    """

    steps: int
    """Optimiser steps in an epoch, about."""

    def batches(self, rng: np.random.Generator) -> Iterator[Any]:
        """One epoch's batches, decided by `rng` alone."""

    def part(self, batch: Any, number: int, of: int) -> Any:
        """Part `number` (0-based) of `of`, itself a batch."""

    def pairs(self, batch: Any) -> int:
        """How many pairs the loss is the mean of."""

    def loss(self, model: Trained, batch: Any, rng: np.random.Generator) -> Tensor:
        """Mean loss of a batch or part; `rng` for what a step draws, alike for all parts of a batch."""


@runtime_checkable
class Contrast(Protocol):
    """An objective that tells each pair of a batch from all others, so that its parts belong together.

    The loss is `contrast` of what `encode` returns. To accumulate gradients without a smaller choice of
    negatives, all parts are encoded before any is contrasted (step.py).
    """

    def encode(self, model: Trained, batch: Any) -> tuple[Tensor, ...]:
        """Row-wise vectors of the batch's users and items, and the scale, a scalar, last."""

    def contrast(self, vectors: tuple[Tensor, ...], parts: Sequence[Any]) -> Tensor:
        """Mean loss of the parts whose vectors, one part after the other, are given."""


def objective(
    sequences: Sequences,
    content: ContentTable,
    recipe: Recipe,
    max_length: int,
    ranks: Ranks,
    item_to_item: ItemToItem | None = None,
    *,
    untaken: NDArray[np.int64] | None = None,
    asked_at_history_end: bool = False,
    own_ends: bool = False,
) -> Objective:
    """The recipe's objective; for next-item softmax what `item_to_item` models found, what nobody took and
    when users are asked for (next_item.py)."""
    if recipe.loss == "softmax":
        return NextItem(
            sequences, content, recipe, max_length, item_to_item,
            untaken=untaken, asked_at_history_end=asked_at_history_end, own_ends=own_ends,
        )  # fmt: skip
    return DenseAllAction(sequences, content, recipe, ranks)
