"""A prior for any scorer where there are times: what everybody did just before the request.

    score(user, item) + weight · log(recent(item) + smoothing) - standing · log(ever(item) + 1)

Both sums are over all interactions strictly before the request: in `recent` each fades by half in
`half_life_days`, in `ever` none does. A scorer has learnt how popular an item is on the whole; where that
popularity is over, `standing` takes it back. Temperatures need no place here: only the weights relative to
the scores matter, and they are tuned. Best on scores that are like logits, as cosines are.
"""

from dataclasses import dataclass

import numpy as np

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.errors import DataError
from learn_features.evaluation.baselines.baseline import CRITERION, Task
from learn_features.evaluation.baselines.recent_popularity import DAY_US, RecentCounts
from learn_features.evaluation.baselines.search import Knob, Search
from learn_features.evaluation.harness import Scorer

BUDGET_SECONDS = 120.0
CASES = 2_000
"""Validation cases at most; their scores are kept while tuning."""
AT_ONCE = 64
"""Of them scored together."""


@dataclass(frozen=True)
class TimedParameters:
    """`weight` and `standing` are in units of the scores; both 0 leave them as they are."""

    half_life_days: float
    weight: float
    smoothing: float
    standing: float = 0.0


def timed(scorer: Scorer, log: Sequences, n_items: int, parameters: TimedParameters) -> Scorer:
    """`scorer` with the prior. `log` may be the whole log: a case sees what lies before its request."""
    counts = RecentCounts(log, n_items)
    half_life_us = parameters.half_life_days * DAY_US

    def score(cases: Cases) -> np.ndarray:
        prior = counts.fading(half_life_us, cases.request_times_us)
        prior += np.float32(parameters.smoothing)
        np.log(prior, out=prior)
        prior *= np.float32(parameters.weight)
        if parameters.standing:
            prior -= np.float32(parameters.standing) * np.log1p(counts.ever(cases.request_times_us))
        prior += scorer(cases)
        return prior

    return score


def tune_timed(
    scorer: Scorer,
    split: Split,
    n_items: int,
    *,
    criterion: str = CRITERION,
    mask_history: bool = True,
    budget_seconds: float = BUDGET_SECONDS,
    seed: int = 0,
) -> TimedParameters:
    """The best on validation, never worse there than no prior; `scorer` must be fitted on `split.train`.

    Raises `DataError` where the data has no times.
    """
    if not split.has_times:
        raise DataError("a prior by time needs event_timestamp; the data set has only an order (position)")
    task = Task(split, n_items, None, criterion, mask_history, CASES, seed)
    kept, spread = _kept(scorer, split.validation.sample(CASES))
    search = Search[TimedParameters](
        lambda parameters: task.value(timed(kept, split.everything, n_items, parameters)), budget_seconds
    )
    start = TimedParameters(half_life_days=2.0, weight=spread, smoothing=1.0)
    search.attempt(TimedParameters(start.half_life_days, 0.0, start.smoothing), start)
    if search.best.weight == 0:
        search.attempt(*(TimedParameters(2.0, share * spread, 1.0) for share in (0.03, 0.1, 0.3)))
    if search.best.weight > 0:
        search.descend(_knobs(spread), rounds=2)
    return search.best


def _knobs(spread: float) -> tuple[Knob, ...]:
    return (
        Knob("weight", tuple(spread * s for s in (0.25, 0.5, 1.0, 2.0)), low=spread / 64, high=spread * 64),
        Knob("half_life_days", (0.5, 1.0, 2.0, 4.0, 8.0), low=1 / 48, high=730.0),
        Knob("smoothing", (0.1, 0.3, 1.0, 3.0), low=1e-3, high=100.0),
        Knob("standing", tuple(spread * s for s in (0.0, 0.25, 0.5, 1.0)), low=0.0, high=spread * 64),
    )


def _kept(scorer: Scorer, cases: Cases) -> tuple[Scorer, float]:
    """A scorer that remembers the scores of `cases`, and their spread over the items of a case."""
    scores, spreads = np.empty((0, 0), dtype=np.float32), []
    for start in range(0, len(cases), AT_ONCE):
        block = scorer(cases.select(slice(start, start + AT_ONCE)))
        if not start:
            scores = np.empty((len(cases), block.shape[1]), dtype=np.float32)
        scores[start : start + len(block)] = block
        spreads.append(np.std(block, axis=1))
    row = {user: at for at, user in enumerate(cases.user_ids)}
    spread = float(np.nanmean(np.concatenate(spreads)))
    return lambda asked: scores[[row[user] for user in asked.user_ids]], spread or 1.0
