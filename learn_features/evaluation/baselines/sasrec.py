"""SASRec: item ids only, no text; items that were not seen cannot be told apart."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.transformer import DIMENSION
from learn_features.evaluation.baselines.transformer_baseline import TransformerBaseline


class SASRec(TransformerBaseline):
    """A learned vector an item."""

    name = "sasrec"

    def items(self, task: Task, fitted_on: Sequences) -> Callable[[], nn.Module]:
        seen = np.bincount(fitted_on.items, minlength=task.n_items) > 0
        return lambda: ItemIds(torch.from_numpy(seen))


class ItemIds(nn.Module):
    """Vectors (n, DIMENSION) of all items; zeros for those not `seen` (bool (n,))."""

    seen: Tensor

    def __init__(self, seen: Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(0.02 * torch.randn(len(seen), DIMENSION))
        self.register_buffer("seen", seen.unsqueeze(1))

    def forward(self) -> Tensor:
        return self.vectors * self.seen
