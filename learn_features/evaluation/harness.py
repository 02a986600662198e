"""One harness for every method: same cases, same candidates, same masks, strict ranks."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from learn_features.data.cases import Cases
from learn_features.evaluation.evaluated import Evaluated
from learn_features.evaluation.metrics import items_within, strict_ranks

Scorer = Callable[[Cases], np.ndarray]
"""Cases → float32 scores (len(cases), items), higher is better."""

Progress = Callable[[int, int], None]

SCORES_AT_ONCE = 8_000_000
"""Scores (cases × items) in memory; larger blocks are asked of the kernel anew each time, page by page."""


def cases_at_once(n_items: int, at_most: int) -> int:
    """How many cases to score together, at least one."""
    return max(1, min(at_most, SCORES_AT_ONCE // max(1, n_items)))


def evaluate(
    scorers: Mapping[str, Scorer],
    cases: Cases,
    *,
    ks: Sequence[int] = (10,),
    mask_history: bool = True,
    candidates: np.ndarray | None = None,
    coverage: bool = False,
    batch: int = 512,
    progress: Progress | None = None,
) -> dict[str, Evaluated]:
    """Each method's ranks of the cases' targets, and from them every metric at every k.

    `mask_history` takes the items of a case's history out of the ranking: nobody finds a target among them
    (`data.splits` makes cases without). `candidates`, bool (items,), leaves only some items in it, which
    must hold every target (`Cases.targeting`); `ValueError` otherwise. `batch`: cases at a time at most;
    fewer for a large catalogue. `progress` counts cases over all methods.
    """
    if candidates is not None and not candidates[cases.target_items].all():
        count = np.count_nonzero(~candidates[cases.target_items])
        raise ValueError(f"{count} of {len(cases.target_items)} targets are no candidates")
    done, total = 0, len(scorers) * len(cases)
    results = {}
    for name, scorer in scorers.items():
        ranks: list[np.ndarray] = []
        shown: dict[int, np.ndarray | bool] = dict.fromkeys(ks, False) if coverage else {}
        start, size = 0, 1  # the first shows how many items are scored
        while start < len(cases):
            part = cases.select(slice(start, start + size))
            scores = _in_play(scorer(part), part, mask_history, candidates)
            start, size = start + size, cases_at_once(scores.shape[1], batch)
            ranks.append(strict_ranks(scores, part.target_offsets, part.target_items))
            for k in shown:
                shown[k] = shown[k] | items_within(scores, k)
            done += len(part)
            if progress is not None:
                progress(done, total)
        results[name] = Evaluated(
            ranks=np.concatenate(ranks) if ranks else np.zeros(0, dtype=np.int64),
            offsets=cases.target_offsets,
            ks=tuple(ks),
            coverage={k: _share(items, candidates) for k, items in shown.items()},
        )
    return results


def _in_play(
    scores: np.ndarray, cases: Cases, mask_history: bool, candidates: np.ndarray | None
) -> np.ndarray:
    """A copy of `scores` with -inf wherever an item cannot be recommended."""
    scores = np.array(scores, dtype=np.float32)
    scores[np.isnan(scores)] = -np.inf
    if mask_history:
        history_rows = np.repeat(np.arange(len(cases)), np.diff(cases.history_offsets))
        scores[history_rows, cases.history_items] = -np.inf
    if candidates is not None:
        scores[:, ~candidates] = -np.inf
    return scores


def _share(items: np.ndarray | bool, candidates: np.ndarray | None) -> float:
    if isinstance(items, bool):
        return 0.0
    return float(np.count_nonzero(items) / (len(items) if candidates is None else candidates.sum()))
