"""Tuning of next-item transformers: a few changes, one after the other, each kept if validation gains."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.search import Tries
from learn_features.evaluation.baselines.transformer import TransformerParameters
from learn_features.evaluation.baselines.transformer_training import scorer, train_transformer
from learn_features.evaluation.harness import Scorer

START = TransformerParameters()
CHANGES: tuple[dict[str, Any], ...] = (
    {"layers": 1},
    {"dropout": 0.5},
    {"normalised": False, "learning_rate": 1e-3},
    {"epochs": 24, "stop": 24},
)
"""On whole schedules: after a third of one, what learns fast looks best, and that is not what ends best."""


class TransformerBaseline(ABC):
    """Each try has a share of the seconds left, by its epochs, and stops early without progress."""

    name: str
    sees_clock = False
    budget_seconds = 480.0

    @abstractmethod
    def items(self, task: Task, fitted_on: Sequences) -> Callable[[], nn.Module]:
        """What makes the module of item vectors."""

    def refusal(self, task: Task) -> str | None:
        return None

    def tune(self, task: Task, budget_seconds: float) -> Tries[TransformerParameters]:
        tries = Tries[TransformerParameters](budget_seconds)
        for number, change in enumerate(({}, *CHANGES)):
            if tries.spent:
                break
            centre = tries.best if tries.tried else START
            # the best so far is known by the epochs it stopped at; its schedule is what is changed
            parameters = replace(centre, **{"stop": centre.epochs, **change})
            seconds = tries.seconds_left * parameters.epochs / _epochs_ahead(number, parameters.epochs)
            stop, value = self._train(task, parameters, seconds, tries)
            tries.record(replace(parameters, stop=stop), value)
        return tries

    def fit(self, task: Task, fitted_on: Sequences, parameters: TransformerParameters) -> Scorer:
        items = self.items(task, fitted_on)
        return scorer(train_transformer(fitted_on, items, task.n_items, parameters, seed=task.seed).model)

    def _train(
        self,
        task: Task,
        parameters: TransformerParameters,
        seconds: float,
        tries: Tries[TransformerParameters],
    ) -> tuple[int, float]:
        """The epoch with the best validation value, and that value."""
        deadline = time.monotonic() + seconds

        def out_of_time() -> bool:
            over = time.monotonic() > deadline
            tries.cut = tries.cut or over
            return over

        trained = train_transformer(
            task.split.train,
            self.items(task, task.split.train),
            task.n_items,
            parameters,
            seed=task.seed,
            validate=task.value,
            out_of_time=out_of_time,
        )
        return trained.stop, trained.value


def _epochs_ahead(number: int, epochs: int) -> int:
    """Epochs of try `number` (0: the start) and of all after it, if it has `epochs`."""
    total = epochs
    for change in CHANGES[number:]:
        epochs = change.get("epochs", epochs)
        total += epochs
    return total
