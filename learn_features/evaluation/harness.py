"""One harness for every method: same cases, full catalogue, same masks, strict ranks."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from learn_features.data.cases import Cases
from learn_features.evaluation.metrics import METRICS, strict_ranks

Scorer = Callable[[Cases], np.ndarray]
"""Cases → float32 scores (len(cases), items), higher is better."""

Progress = Callable[[int, int], None]


def evaluate(
    scorers: Mapping[str, Scorer],
    cases: Cases,
    *,
    ks: Sequence[int] = (10,),
    mask_history: bool = True,
    batch: int = 512,
    progress: Progress | None = None,
) -> dict[str, dict[str, float]]:
    """Mean over cases of every metric at every k: `{method: {"recall_at_10": …}}`.

    `mask_history` takes the items of a case's history out of the ranking, except those that are targets
    again. `progress` counts cases over all methods.
    """
    done, total = 0, len(scorers) * len(cases)
    results = {}
    for name, scorer in scorers.items():
        ranks = []
        for start in range(0, len(cases), batch):
            part = cases.select(slice(start, start + batch))
            ranks.append(_ranks(scorer(part), part, mask_history))
            done += len(part)
            if progress is not None:
                progress(done, total)
        all_ranks = np.concatenate(ranks) if ranks else np.zeros(0, dtype=np.int64)
        results[name] = {
            f"{metric}_at_{k}": float(per_case(all_ranks, cases.target_offsets, k).mean())
            for metric, per_case in METRICS.items()
            for k in ks
        }
    return results


def _ranks(scores: np.ndarray, cases: Cases, mask_history: bool) -> np.ndarray:
    """int64 (targets,)"""
    scores = np.array(scores, dtype=np.float32)
    if mask_history:
        target_rows = np.repeat(np.arange(len(cases)), np.diff(cases.target_offsets))
        kept = scores[target_rows, cases.target_items]
        history_rows = np.repeat(np.arange(len(cases)), np.diff(cases.history_offsets))
        scores[history_rows, cases.history_items] = -np.inf
        scores[target_rows, cases.target_items] = kept
    return strict_ranks(scores, cases.target_offsets, cases.target_items)
