"""All baselines by name, and the one call that tunes and fits them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.errors import ConfigError
from learn_features.evaluation.baselines.baseline import Baseline, Task
from learn_features.evaluation.baselines.ease import Ease
from learn_features.evaluation.baselines.item_cf import ItemCF
from learn_features.evaluation.baselines.mean_content import MeanContent
from learn_features.evaluation.baselines.popularity import Popularity
from learn_features.evaluation.baselines.recent_popularity import RecentPopularity
from learn_features.evaluation.baselines.ridge import Ridge
from learn_features.evaluation.baselines.sasrec import SASRec
from learn_features.evaluation.baselines.text_model import TextModel
from learn_features.evaluation.harness import Scorer
from learn_features.evaluation.metrics import SELECTED_BY

BASELINES: dict[str, Baseline[Any]] = {
    baseline.name: baseline
    for baseline in (
        Popularity(),
        RecentPopularity(),
        ItemCF(),
        MeanContent(),
        Ease(),
        Ridge(),
        SASRec(),
        TextModel(),
    )
}
QUICK = ("popularity", "recent_popularity", "item_cf", "content")
"""Seconds each on a small data set."""


def _never(fitted_on: Sequences) -> Scorer:
    raise ValueError("a baseline that did not run has no parameters to fit")


@dataclass(frozen=True)
class TunedBaseline:
    """A baseline fitted on all before the test cut, or why it was not.

    scorer      None where it did not run
    not_run     the reason; empty where it ran
    parameters  as tuned
    validation  the criterion that they reached there, fitted on `train` only
    fits        how many parameters were tried
    budget_seconds, seconds   allowed for tuning; taken by tuning and fitting together
    cut_short   whether tuning had more to try when the budget was spent, or a try ended by the clock
    fit         the same parameters fitted on other interactions
    """

    sees_clock: bool
    scorer: Scorer | None
    not_run: str
    parameters: dict[str, Any]
    validation: float
    fits: int
    budget_seconds: float
    seconds: float
    cut_short: bool = False
    fit: Callable[[Sequences], Scorer] = field(default=_never, repr=False)

    def row(self) -> dict[str, Any]:
        """What stands in a report."""
        if self.scorer is None:
            return {"not_run": self.not_run, "sees_clock": self.sees_clock}
        names = ("sees_clock", "parameters", "validation", "fits", "budget_seconds", "seconds", "cut_short")
        return {name: getattr(self, name) for name in names}


def tuned(
    split: Split,
    content: np.ndarray | None,
    n_items: int,
    *,
    names: Sequence[str] = QUICK,
    budget_seconds: float | None = None,
    criterion: str = SELECTED_BY,
    mask_history: bool = True,
    cases: int = Task.cases,
    progress: Callable[[str], None] | None = None,
) -> dict[str, TunedBaseline]:
    """Tune `names` on validation, fit them on train and validation. The test cases are not looked at.

    `budget_seconds` holds for each baseline's tuning, in place of its own. `progress` gets a line before
    and after each. Raises `ConfigError` for an unknown name.
    """
    task = Task(split, n_items, content, criterion, mask_history, cases)
    return {name: _tuned(baseline(name), task, budget_seconds, progress or _silent) for name in names}


def baseline(name: str) -> Baseline[Any]:
    """Raises `ConfigError` where there is none."""
    if name not in BASELINES:
        raise ConfigError(f"baseline {name!r} is unknown; there are {', '.join(BASELINES)}")
    return BASELINES[name]


def _tuned(
    method: Baseline[Any], task: Task, budget_seconds: float | None, progress: Callable[[str], None]
) -> TunedBaseline:
    budget = method.budget_seconds if budget_seconds is None else budget_seconds
    refusal = method.refusal(task)
    if refusal is not None:
        progress(f"{method.name}: not run: {refusal}")
        return TunedBaseline(method.sees_clock, None, refusal, {}, float("nan"), 0, budget, 0.0)
    progress(f"{method.name}: tuning for {budget:.0f} s at most")
    started = time.monotonic()
    tries = method.tune(task, budget)
    cut_short, best = tries.spent or tries.cut, tries.best
    scorer = method.fit(task, task.split.train_and_validation, best)
    seconds = time.monotonic() - started
    parameters = asdict(best)
    progress(
        f"{method.name}: {task.criterion} {tries.value:.4f} on validation with {parameters}, "
        f"{len(tries.tried)} tried, {seconds:.1f} s" + ", CUT SHORT by the clock" * cut_short
    )
    return TunedBaseline(
        sees_clock=method.sees_clock,
        scorer=scorer,
        not_run="",
        parameters=parameters,
        validation=tries.value,
        fits=len(tries.tried),
        budget_seconds=budget,
        seconds=seconds,
        cut_short=cut_short,
        fit=lambda fitted_on: method.fit(task, fitted_on, best),
    )


def _silent(line: str) -> None:
    pass
