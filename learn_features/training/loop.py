"""The loop: AdamW, warm-up and cosine, clipping, the best state by validation, early stopping."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from learn_features.errors import ConfigError
from learn_features.towers.model import Towers
from learn_features.towers.weights import restore, tensors
from learn_features.training.objectives import Objective
from learn_features.training.recipe import Recipe

Progress = Callable[[int, int], None]
Validate = Callable[[Towers], dict[str, float]]

SELECTED_BY = "recall_at_10"

DIVERGED = 2.0
"""An epoch's mean loss this many times the first epoch's means that training has diverged."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """One line of `metrics.jsonl`."""

    phase: str
    epoch: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    validation: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to `peak`, then a cosine to zero at `steps`."""

    peak: float
    steps: int
    warmup: int

    def at(self, step: int) -> float:
        """Learning rate of step `step` (0-based)."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.peak * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


class Fit:
    """Trains `towers` in place on one objective.

    Args:
        peak: highest learning rate.
        warmup_share: share of all steps that warm up.
        rng: source of every random choice but dropout, which is torch's.
    """

    def __init__(
        self,
        towers: Towers,
        objective: Objective,
        recipe: Recipe,
        *,
        phase: str,
        epochs: int,
        peak: float,
        rng: np.random.Generator,
    ) -> None:
        self._towers, self._objective, self._recipe, self._rng = towers, objective, recipe, rng
        self._phase, self._epochs = phase, epochs
        steps = objective.steps * epochs
        self._schedule = Schedule(peak, steps, max(1, int(steps * recipe.warmup_share)))
        self._optimizer = _optimizer(towers, recipe.weight_decay)
        self._step = 0
        self.history: list[Epoch] = []

    def run(
        self,
        *,
        validate: Validate | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """All epochs. With `validate` the towers end in their best state, and training stops early
        when `patience` epochs brought nothing better.

        Raises `ConfigError` if the loss is not finite or grows away.
        """
        best: dict[str, Tensor] | None = None
        best_score, best_epoch = -math.inf, 0
        for number in range(1, self._epochs + 1):
            epoch = self._epoch(number, validate, progress)
            self.history.append(epoch)
            log.info(
                "%s epoch %d of %d: loss %.4f %s",
                self._phase, number, self._epochs, epoch.loss,
                " ".join(f"{name} {value:.4f}" for name, value in epoch.validation.items()),
            )  # fmt: skip
            if on_epoch is not None:
                on_epoch(epoch)
            if validate is None:
                continue
            if epoch.validation[SELECTED_BY] > best_score:
                best_score, best_epoch = epoch.validation[SELECTED_BY], number
                best = {name: tensor.clone() for name, tensor in tensors(self._towers).items()}
            elif number - best_epoch >= self._recipe.patience:
                break
        if best is not None:
            restore(self._towers, best)
        if progress is not None:
            progress(self._objective.steps * self._epochs, self._objective.steps * self._epochs)

    @property
    def best_epoch(self) -> int:
        """Epoch (1-based) with the best validation; the last one without validation."""
        scores = [epoch.validation.get(SELECTED_BY, float(epoch.epoch)) for epoch in self.history]
        return int(np.argmax(scores)) + 1

    def _epoch(self, number: int, validate: Validate | None, progress: Progress | None) -> Epoch:
        started = time.perf_counter()
        self._towers.train()
        losses: list[float] = []
        rate = 0.0
        for loss in self._objective.losses(self._towers, self._rng):
            rate = self._schedule.at(self._step)
            self._update(loss, rate)
            losses.append(float(loss.detach()))
            self._step += 1
            if not math.isfinite(losses[-1]):
                raise ConfigError(
                    f"training: the loss is {losses[-1]} at step {self._step} ({self._phase} {number});"
                    f" lower the learning rate ({self._schedule.peak:g}) of the preset"
                )
            if progress is not None:
                progress(self._step, self._schedule.steps)
        if not losses:
            raise ConfigError("training: an epoch has no batch; there are too few users with a next item")
        mean = float(np.mean(losses))
        if self.history and mean > DIVERGED * self.history[0].loss + 1:
            raise ConfigError(
                f"training: the loss grew from {self.history[0].loss:.3f} to {mean:.3f} in epoch {number};"
                f" lower the learning rate ({self._schedule.peak:g}) of the preset"
            )
        validation = validate(self._towers) if validate is not None else {}
        seconds = time.perf_counter() - started
        return Epoch(self._phase, number, len(losses), mean, rate, seconds, validation)

    def _update(self, loss: Tensor, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._towers.parameters(), self._recipe.clip_norm)
        self._optimizer.step()


def _optimizer(towers: Towers, weight_decay: float) -> torch.optim.AdamW:
    """AdamW; biases, norms and scalars do not decay."""
    trained = [p for p in towers.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in trained)
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=fused)
