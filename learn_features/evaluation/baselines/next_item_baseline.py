"""Tuning of next-item transformers: a few changes, one after the other, each kept if validation gains."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.next_item import NextItemParameters
from learn_features.evaluation.baselines.next_item_training import scorer, train
from learn_features.evaluation.baselines.search import Search
from learn_features.evaluation.harness import Scorer

CHANGES: tuple[dict[str, Any], ...] = (
    {"dropout": 0.5},
    {"normalised": False, "learning_rate": 1e-3},
    {"layers": 1},
    {"learning_rate": 1e-3},
    {"epochs": 24},
)


class NextItemBaseline(ABC):
    """Each try has an equal share of the seconds left, and stops early without progress."""

    name: str
    sees_clock = False
    budget_seconds = 420.0

    @abstractmethod
    def items(self, task: Task, fitted_on: Sequences) -> Callable[[], nn.Module]:
        """What makes the module of item vectors."""

    def refusal(self, task: Task) -> str | None:
        return None

    def tune(self, task: Task, budget_seconds: float) -> Search[NextItemParameters]:
        search = Search[NextItemParameters](lambda parameters: 0.0, budget_seconds)
        self._try(task, search, NextItemParameters(), tries_left=len(CHANGES) + 1)
        for number, change in enumerate(CHANGES):
            if not search.spent:
                self._try(task, search, replace(search.best, **change), tries_left=len(CHANGES) - number)
        return search

    def fit(self, task: Task, fitted_on: Sequences, parameters: NextItemParameters) -> Scorer:
        items = self.items(task, fitted_on)
        return scorer(train(fitted_on, items, task.n_items, parameters, seed=task.seed).model)

    def _try(
        self, task: Task, search: Search[NextItemParameters], parameters: NextItemParameters, tries_left: int
    ) -> None:
        deadline = time.monotonic() + search.seconds_left / tries_left
        train_part = task.split.train
        trained = train(
            train_part,
            self.items(task, train_part),
            task.n_items,
            parameters,
            seed=task.seed,
            validate=task.value,
            out_of_time=lambda: time.monotonic() > deadline,
        )
        search.record(replace(parameters, stop=trained.stop), trained.value)
