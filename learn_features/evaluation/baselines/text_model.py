"""UniSRec's form: frozen text vectors, a mixture of whitening adaptors, a transformer; no item ids.

Hou et al. (KDD 2022): each expert is a parametric whitening (x - b) W; a gate on the text weighs them.
Trained on this data set alone, without their pre-training on other sets.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.transformer import DIMENSION
from learn_features.evaluation.baselines.transformer_baseline import TransformerBaseline

EXPERTS = 4
INPUT_DROPOUT = 0.1


class TextModel(TransformerBaseline):
    """Text vectors through the adaptor, also for items never seen."""

    name = "text_model"

    def refusal(self, task: Task) -> str | None:
        return "there are no content vectors" if task.content is None else None

    def items(self, task: Task, fitted_on: Sequences) -> Callable[[], nn.Module]:
        if task.content is None:
            raise ValueError("text_model needs content vectors")
        content = np.asarray(task.content, dtype=np.float32)
        centred = content - content.mean(axis=0)
        scaled = torch.from_numpy(centred / max(float(np.sqrt((centred**2).mean())), 1e-6))
        return lambda: TextItems(scaled)


class TextItems(nn.Module):
    """Vectors (n, DIMENSION) of all items from `content` (n, C), centred and of unit variance."""

    content: Tensor

    def __init__(self, content: Tensor) -> None:
        super().__init__()
        self.register_buffer("content", content)
        self.dropout = nn.Dropout(INPUT_DROPOUT)
        self.shift = nn.Parameter(torch.zeros(content.shape[1]))
        self.experts = nn.Linear(content.shape[1], EXPERTS * DIMENSION, bias=False)
        self.gate = nn.Linear(content.shape[1], EXPERTS)

    def forward(self) -> Tensor:
        x = self.dropout(self.content) - self.shift
        mixed: Tensor = (
            self.experts(x).unflatten(-1, (EXPERTS, DIMENSION)) * self.gate(x).softmax(-1)[..., None]
        )
        return mixed.sum(dim=1)
