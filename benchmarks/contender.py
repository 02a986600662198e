"""One implementation of a preset's training, ready to step, and whether two of them do the same."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.padded import PaddedDenseAllAction, PaddedNextItem
from learn_features.contracts.history import HistoryRule
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.item_cf import ItemCFParameters
from learn_features.towers.config import tower_preset
from learn_features.towers.model import Towers
from learn_features.training.content_table import ContentTable
from learn_features.training.cuts import CutBatch
from learn_features.training.dense_all_action import DenseAllAction
from learn_features.training.item_to_item import ItemToItem
from learn_features.training.loop import Loop
from learn_features.training.next_item import NextItem
from learn_features.training.phase import Phase
from learn_features.training.ranks import alone
from learn_features.training.recipe import recipe_preset
from learn_features.training.step import Step
from learn_features.training.trained import Trained
from learn_features.training.windows import WindowBatch

OURS, PLAIN = "ours", "plain padded"
MAX_LENGTH, CONTENT = HistoryRule().max_length, 384
FOUND = ItemToItem(ItemCFParameters())
"""What tuned item-CF finds on `amazon_scientific`: reads backwards often, and a teacher takes part."""
NO_CAP = 10**9


class Contender:
    """One preset on one log, by one implementation, ready to step."""

    def __init__(
        self,
        preset: str,
        method: str,
        data: Sequences,
        items: int,
        changes: Mapping[str, int] | None = None,
        *,
        calm: bool = False,
    ) -> None:
        """On a catalogue of `items`, without cap on steps or candidates; `changes`: of the preset's recipe.
        `calm`: no dropout of any kind, and fp32 on a GPU as well: for comparing gradients."""
        started = time.perf_counter()
        still = {"dropout": 0.0, "content_dropout": 0.0} if calm else {}
        config = tower_preset(preset, content_dimension=CONTENT, max_length=MAX_LENGTH, **still)
        self.recipe = recipe_preset(
            preset, max_steps=NO_CAP, max_candidates=NO_CAP, **(changes or {}),
            **({"residual_dropout": 0.0, "precision": "fp32"} if calm else {}),
        )  # fmt: skip
        ranks = alone()
        rng = np.random.default_rng(0)
        content = ContentTable(rng.standard_normal((items, CONTENT)).astype(np.float16), ranks.device)
        torch.manual_seed(0)
        trained = data.taken
        self.model = Trained(Towers(config), trained, items, row_dropout=self.recipe.residual_dropout)
        if self.model.residuals is not None:
            torch.nn.init.normal_(self.model.residuals, std=0.1)
        self.model.to(ranks.device).train()
        self.task: NextItem | DenseAllAction
        if self.recipe.loss == "softmax":
            next_item = NextItem if method == OURS else PaddedNextItem
            self.task = next_item(data, content, self.recipe, MAX_LENGTH, FOUND)
        else:
            dense = DenseAllAction if method == OURS else PaddedDenseAllAction
            self.task = dense(data, content, self.recipe, ranks)
        epochs, rate = self.recipe.epochs, self.recipe.learning_rate
        phase = Phase("steps", 0, epochs, epochs, rate, "learning_rate")
        self._loop = Loop(self.model, self.task, self.recipe, phase, seed=0, ranks=ranks)
        self._step = Step(self.model, self.task, self.recipe, ranks, seed=0, phase=0)
        self._device = ranks.device
        self.setup_seconds = time.perf_counter() - started

    def batches(self, epoch: int = 0) -> Iterator[Any]:
        return self.task.batches(np.random.default_rng(epoch))

    def update(self, batch: Any) -> None:
        """One optimiser step, as the loop takes it."""
        self._loop.update(batch)

    def timed(self, batch: Any) -> float:
        """Seconds of an `update`, to its very end."""
        started = time.perf_counter()
        self.update(batch)
        self.wait()
        return time.perf_counter() - started

    def wait(self) -> None:
        """Until the device has done all it was asked."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def gradients(self, batch: Any) -> tuple[float, dict[str, torch.Tensor]]:
        """Loss and gradients, without a step."""
        self.model.zero_grad()
        loss = float(self._step(batch, 0))
        return loss, {n: p.grad for n, p in self.model.named_parameters() if p.grad is not None}


def interactions(batch: WindowBatch | CutBatch) -> int:
    """What a step learns from: next items, or entries of histories and targets."""
    if isinstance(batch, WindowBatch):
        return len(batch.targets)
    return int(batch.history_lengths.sum() + batch.target_lengths.sum())


def check_same(ours: Contender, plain: Contender, batches: Sequence[Any]) -> None:
    """`AssertionError` unless losses agree to 1e-5, and each gradient to 1e-3 of its largest entry."""
    for batch in batches:
        (loss, gradients), (expected, others) = ours.gradients(batch), plain.gradients(batch)
        if abs(loss - expected) > 1e-5 * abs(expected):
            raise AssertionError(f"training_step: the losses are {loss} and {expected}")
        if gradients.keys() != others.keys():
            raise AssertionError(
                f"training_step: gradients of {gradients.keys() ^ others.keys()} in one only"
            )
        for name, gradient in others.items():
            difference, most = (gradients[name] - gradient).abs().max(), gradient.abs().max()
            if difference > 1e-3 * most + 1e-7:
                raise AssertionError(f"training_step: gradients of {name} differ by {difference} of {most}")
