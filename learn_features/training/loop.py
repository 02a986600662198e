"""One phase of training: its epochs, the best state by validation, early stopping. Can stop at any step.

Everything random is drawn for its place (seeds.py), so what has to be kept is tensors and counters:
`tensors()` and `counters`, both put back by `restore`.
"""

import itertools
import logging
import math
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import Any

import torch
from torch import Tensor

from learn_features.errors import ConfigError
from learn_features.evaluation.metrics import SELECTED_BY
from learn_features.training import seeds
from learn_features.training.ahead import ahead
from learn_features.training.curves import POINTS, Epoch, Point
from learn_features.training.objectives import Objective
from learn_features.training.optimiser import (
    Averages,
    Schedule,
    moments,
    optimiser,
    set_moments,
    set_rate,
)
from learn_features.training.phase import Counters, Phase
from learn_features.training.ranks import Ranks
from learn_features.training.recipe import Recipe
from learn_features.training.step import Step
from learn_features.training.trained import Trained

Progress = Callable[[int, int], None]
Validate = Callable[[Trained], dict[str, float]]


DIVERGED = 1.0
"""An epoch's mean loss so many nats above the first step's, which no training had touched, means that
training has diverged."""
WORSE = 0.5
"""So many are more than one step differs from another by chance, few pairs though it may have."""
SETTLED_STEPS = 100
"""Before so many steps that is judged at the end of tuning only: the first ones may overshoot."""

log = logging.getLogger(__name__)


class _Reading:
    """A scalar on its way to the CPU, for which only whoever asks for it waits.

    A plain `float` of it on a GPU would wait for all that was queued since, the next step with it.
    """

    def __init__(self, scalar: Tensor) -> None:
        self._copied: torch.cuda.Event | None = None
        self._scalar = scalar
        if scalar.is_cuda:
            self._scalar = torch.empty_like(scalar, device="cpu", pin_memory=True)
            self._scalar.copy_(scalar, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(scalar.device))

    def value(self) -> float:
        if self._copied is not None:
            self._copied.synchronize()
        return float(self._scalar)


class Loop:
    """Trains `model` in place through one phase."""

    def __init__(
        self,
        model: Trained,
        objective: Objective,
        recipe: Recipe,
        phase: Phase,
        *,
        seed: int,
        ranks: Ranks,
    ) -> None:
        self._model, self._objective, self._recipe = model, objective, recipe
        self._seed, self._ranks, self.phase = seed, ranks, phase
        steps = objective.steps * phase.schedule_epochs
        self._schedule = Schedule(phase.peak, steps, max(1, int(steps * recipe.warmup_share)))
        self._steps = objective.steps * phase.epochs
        self._optimizer = optimiser(model, recipe)
        self._averages = Averages(model, recipe.ema) if recipe.ema else None
        self._step = Step(model, objective, recipe, ranks, seed=seed, phase=phase.number)
        self._best: dict[str, Tensor] = {}
        self._pending: tuple[_Reading, float] | None = None
        self.counters = Counters()

    def run(
        self,
        *,
        validate: Validate | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
        progress: Progress | None = None,
        checkpoint: Callable[[bool], None] | None = None,
    ) -> None:
        """All epochs that are left. With `validate` the model ends in its best state, and training stops
        early when `patience` epochs brought nothing better. `checkpoint` is called after every step,
        with True at the end of an epoch.

        Raises `ConfigError` if the loss is not finite or grows away.
        """
        while not self._over(validate is not None):
            epoch = self._epoch(validate, progress, checkpoint)
            if self.counters.step >= SETTLED_STEPS or (validate is not None and self._over(True)):
                self._check_growth(epoch)
            if on_epoch is not None:
                on_epoch(epoch)
            if checkpoint is not None:
                checkpoint(True)
        self._look_at_kept()
        if self._best:
            self._put_best()
        elif self._averages is not None:
            self._averages.exchange()
        self._check_finite()
        if progress is not None:
            progress(self._steps, self._steps)

    def tensors(self) -> dict[str, Tensor]:
        """All that the next step needs, by name; not copied."""
        state = {f"model/{name}": tensor.detach() for name, tensor in self._model.named_state().items()}
        averages = self._averages.named() if self._averages is not None else {}
        best = {f"best/{name}": tensor for name, tensor in self._best.items()}
        return {**state, **moments(self._model, self._optimizer), **averages, **best}

    @torch.no_grad()
    def restore(self, saved: dict[str, Tensor], counters: Counters) -> None:
        """Stand where `tensors()` and `counters` were taken; names and shapes have been compared."""
        for name, tensor in self._model.named_state().items():
            tensor.copy_(saved[f"model/{name}"])
        set_moments(self._model, self._optimizer, saved)
        for name, tensor in (self._averages.named() if self._averages is not None else {}).items():
            tensor.copy_(saved[name])
        self._best = {
            name.removeprefix("best/"): tensor for name, tensor in saved.items() if name.startswith("best/")
        }
        self.counters = counters

    def settle(self) -> None:
        """Read the loss of the last step, which is left to run while the next one is prepared."""
        if self._pending is None:
            return
        reading, rate = self._pending
        self._pending = None
        loss, counters = reading.value(), self.counters
        if not math.isfinite(loss):
            raise ConfigError(
                f"training: the loss is {loss} at step {counters.step} ({self.phase.name}"
                f" {len(counters.history) + 1}); {self.calmer}"
            )
        if counters.first_loss is None:
            counters.first_loss = loss
        counters.loss_sum += loss
        counters.point_sum += loss
        counters.point_steps += 1
        if counters.point_steps >= max(1, self._steps // POINTS):
            mean = counters.point_sum / counters.point_steps
            counters.points.append(Point(self.phase.name, counters.step, mean, rate))
            counters.point_sum, counters.point_steps = 0.0, 0

    @torch.no_grad()
    def _check_finite(self) -> None:
        """Weights that no loss was asked of any more: the last step's, and averages."""
        for name, tensor in self._model.named_state().items():
            if not bool(torch.isfinite(tensor).all()):
                raise ConfigError(
                    f"training: {name} is not finite after the {self.counters.step} steps of"
                    f" {self.phase.name}; {self.calmer}"
                )

    @property
    def calmer(self) -> str:
        """What to do where training has diverged."""
        return (
            f"start anew with --fresh and training.recipe.{self.phase.rate} in learn.yaml below"
            f" {self._schedule.peak:g}; other changes of training.recipe, or few interactions, do it, too"
        )

    def _over(self, selecting: bool) -> bool:
        done, best = len(self.counters.history), self.counters.best_epoch
        return done >= self.phase.epochs or (selecting and 0 < best <= done - self._recipe.patience)

    def _epoch(
        self,
        validate: Validate | None,
        progress: Progress | None,
        checkpoint: Callable[[bool], None] | None,
    ) -> Epoch:
        counters, number = self.counters, len(self.counters.history) + 1
        started = time.perf_counter() - counters.seconds
        self._model.train()
        order = seeds.generator(self._seed, self.phase.number, "batches", number)
        with closing(ahead(self._objective.batches(order))) as batches:
            for batch in itertools.islice(batches, counters.in_epoch, None):
                self.update(batch)
                counters.seconds = time.perf_counter() - started
                if checkpoint is not None:
                    checkpoint(False)
                if progress is not None:
                    progress(counters.step, self._steps)
        self.settle()
        if not counters.in_epoch:
            raise ConfigError(
                "training: an epoch has no batch; too few users have a next item (give more users, or longer"
                " histories), or training.recipe.new_item_share holds out nearly all items (set it to 0)"
            )
        mean = counters.loss_sum / counters.in_epoch
        validation = self._validation(validate, number)
        rate = self._schedule.at(counters.step - 1)
        seconds = time.perf_counter() - started
        epoch = Epoch(self.phase.name, number, counters.in_epoch, mean, rate, seconds, validation)
        counters.history.append(epoch)
        counters.in_epoch, counters.loss_sum, counters.seconds = 0, 0.0, 0.0
        log.info(
            "%s epoch %d of %d: loss %.4f %s",
            self.phase.name, number, self.phase.epochs, mean,
            " ".join(f"{name} {value:.4f}" for name, value in validation.items()),
        )  # fmt: skip
        return epoch

    def _check_growth(self, epoch: Epoch) -> None:
        first = self.counters.first_loss
        if first is not None and epoch.loss > first + DIVERGED:
            few = self.counters.step < SETTLED_STEPS
            more = f"; or give it more epochs, as {self.counters.step} steps are few" if few else ""
            raise ConfigError(f"training: {self._grown(first, epoch)}; {self.calmer}{more}")

    def _look_at_kept(self) -> None:
        """A warning where the epoch that is kept does worse than the weights that the phase began with;
        `ConfigError` where it was the best of many and has grown away."""
        first, history = self.counters.first_loss, self.counters.history
        if first is None or not history:
            return
        kept = history[self.counters.best_epoch - 1]
        if self.counters.best_epoch:
            self._check_growth(kept)
        if kept.loss > first + WORSE and self._ranks.leads:
            log.warning(
                "training: %s, which is kept: towers no better than before; %s",
                self._grown(first, kept), self.calmer,
            )  # fmt: skip

    def _grown(self, first: float, epoch: Epoch) -> str:
        return (
            f"the loss grew from {first:.3f} at the first step to {epoch.loss:.3f} in epoch {epoch.epoch} of"
            f" {self.phase.name}"
        )

    def update(self, batch: Any) -> None:
        """One optimiser step on `batch`."""
        counters = self.counters
        rate = self._schedule.at(counters.step)
        set_rate(self._optimizer, rate)
        self._optimizer.zero_grad(set_to_none=True)
        loss = _Reading(self._step(batch, counters.step))
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._recipe.clip_norm)
        self._optimizer.step()
        self._model.towers.limit_scale()
        if self._averages is not None:
            self._averages.update(counters.step)
        self.settle()
        self._pending = loss, rate
        counters.step += 1
        counters.in_epoch += 1

    def _validation(self, validate: Validate | None, number: int) -> dict[str, float]:
        """Metrics of the weights that would be kept, and these kept if they are the best yet."""
        if validate is None:
            return {}
        with self._averages.in_force() if self._averages is not None else nullcontext():
            metrics = validate(self._model) if self._ranks.leads else {}
            (score,) = self._ranks.told([metrics.get(SELECTED_BY, 0.0)])
            if self.counters.best_score is None or score > self.counters.best_score:
                self.counters.best_score, self.counters.best_epoch = score, number
                parameters = self._model.named_parameters()
                self._best = {name: p.detach().to("cpu", copy=True) for name, p in parameters}
        return metrics

    @torch.no_grad()
    def _put_best(self) -> None:
        for name, parameter in self._model.named_parameters():
            parameter.copy_(self._best[name])
