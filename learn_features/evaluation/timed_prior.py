"""A prior for any scorer where there are times: what everybody did just before the request.

    asked = score(user, item) + weight · log(recent(item) + smoothing) - standing · log(ever(item) + 1)
    (1 - share) · softmax(asked / temperature) + share · recent(item) / Σ recent

All sums are over interactions strictly before the request: in `recent` each fades by half in
`half_life_days`, in `ever` none does. A scorer has learnt how popular an item is on the whole; where that
popularity is over, `standing` takes it back. The weight helps where a user follows the crowd by taste, the
share where some requests follow it whatever the taste; which of the two is tuned, and how much of it. Best
on scores that are like logits, as cosines are.
"""

from dataclasses import dataclass, replace

import numpy as np

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.errors import DataError
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.recent_popularity import DAY_US, RecentCounts
from learn_features.evaluation.baselines.search import Knob, Search
from learn_features.evaluation.harness import Scorer
from learn_features.evaluation.metrics import SELECTED_BY

BUDGET_SECONDS = 120.0
CASES = 2_000
"""Validation cases at most; their scores are kept while tuning."""
AT_ONCE = 64
"""Of them scored together."""
TINY = np.float32(1e-30)
"""Stands for a sum that is 0: before anybody did anything."""


@dataclass(frozen=True)
class TimedParameters:
    """`weight`, `standing` and `temperature` are in units of the scores, `share` is a probability;
    weight, standing and share 0 leave the scores as they are."""

    half_life_days: float
    weight: float
    smoothing: float
    standing: float = 0.0
    share: float = 0.0
    temperature: float = 1.0


def timed(scorer: Scorer, log: Sequences, n_items: int, parameters: TimedParameters) -> Scorer:
    """`scorer` with the prior. `log` may be the whole log: a case sees what lies before its request.

    Scores without a share, probabilities with one.
    """
    counts = RecentCounts(log, n_items)
    half_life_us = parameters.half_life_days * DAY_US

    def score(cases: Cases) -> np.ndarray:
        recent = counts.fading(half_life_us, cases.request_times_us)
        asked = recent + np.float32(parameters.smoothing)
        np.log(asked, out=asked)
        asked *= np.float32(parameters.weight)
        if parameters.standing:
            asked -= np.float32(parameters.standing) * np.log1p(counts.ever(cases.request_times_us))
        asked += scorer(cases)
        if parameters.share:
            asked -= asked.max(axis=1, keepdims=True)
            asked /= np.float32(parameters.temperature)
            np.exp(asked, out=asked)
            asked *= np.float32(1 - parameters.share) / asked.sum(axis=1, keepdims=True)
            recent *= np.float32(parameters.share) / np.maximum(recent.sum(axis=1, keepdims=True), TINY)
            asked += recent
        return asked

    return score


def tune_timed(
    scorer: Scorer,
    split: Split,
    n_items: int,
    *,
    criterion: str = SELECTED_BY,
    mask_history: bool = True,
    budget_seconds: float = BUDGET_SECONDS,
) -> TimedParameters:
    """The best on validation, never worse there than no prior; `scorer` must be fitted on `split.train`.

    Raises `DataError` where the data has no times.
    """
    if not split.has_times:
        raise DataError("a prior by time needs event_timestamp; the data set has only an order (position)")
    task = Task(split, n_items, None, criterion, mask_history, CASES)
    kept, spread = _kept(scorer, split.validation.sample(CASES))

    def value(parameters: TimedParameters) -> float:
        return task.value(timed(kept, split.everything, n_items, parameters))

    def times_spread(*values: float) -> tuple[float, ...]:
        return tuple(spread * value for value in values)

    half_life = Knob("half_life_days", (0.5, 1.0, 2.0, 4.0, 8.0), low=1 / 48, high=730.0)
    low, high = spread / 64, spread * 64
    of_weights = (
        Knob("weight", times_spread(0.25, 0.5, 1.0, 2.0), low, high),
        half_life,
        Knob("smoothing", (0.1, 0.3, 1.0, 3.0), low=1e-3, high=100.0),
        Knob("standing", times_spread(0.0, 0.25, 0.5, 1.0), 0.0, high),
    )
    of_shares = (
        Knob("share", (0.1, 0.3, 0.5, 0.7, 0.9)),
        Knob("temperature", times_spread(0.2, 0.3, 0.5, 0.7, 1.0), low, high),
        half_life,
    )
    none = TimedParameters(half_life_days=2.0, weight=0.0, smoothing=1.0)
    weights = [replace(none, weight=weight) for weight in times_spread(0.03, 0.1, 0.3, 1.0)]
    shares = [
        replace(none, share=share, temperature=temperature)
        for share in (0.1, 0.5)
        for temperature in times_spread(0.3, 0.7)
    ]
    searches = []
    for starts, knobs in ((weights, of_weights), (shares, of_shares)):
        search = Search[TimedParameters](value, budget_seconds / 2)
        search.attempt(none, *starts)
        if search.best != none:
            search.descend(knobs, rounds=2)
        searches.append(search)
    return max(searches, key=lambda search: search.value).best


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
