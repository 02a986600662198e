"""What is popular, and what was popular just before the request."""

import numpy as np

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.harness import Scorer

RECENT_US = 3 * 86_400_000_000
"""Three days: what the strongest clock-aware baseline of the shared sets looks back."""


def popularity(fitted_on: Sequences, n_items: int) -> Scorer:
    """Interactions of each item in `fitted_on`, the same for everybody."""
    counts = np.bincount(fitted_on.items, minlength=n_items).astype(np.float32)

    def score(cases: Cases) -> np.ndarray:
        return np.broadcast_to(counts, (len(cases), n_items))

    return score


def recent_popularity(log: Sequences, n_items: int, window_us: int = RECENT_US) -> Scorer:
    """Interactions of each item within `window_us` before the case's request, the request excluded.

    `log` is the whole log: at request time what others did until then is known. Items without any rank
    by what they had before, below all that have one. Needs real times.
    """
    order = np.argsort(log.times_us, kind="stable")
    times, items = log.times_us[order], log.items[order]

    def score(cases: Cases) -> np.ndarray:
        ends = np.searchsorted(times, cases.request_times_us, side="left")
        starts = np.searchsorted(times, cases.request_times_us - window_us, side="left")
        scores = np.empty((len(cases), n_items), dtype=np.float32)
        before = np.zeros(n_items)
        counted = 0
        for case in np.argsort(ends, kind="stable"):
            before += np.bincount(items[counted : ends[case]], minlength=n_items)
            counted = ends[case]
            recent = np.bincount(items[starts[case] : counted], minlength=n_items)
            scores[case] = recent + 0.5 * before / (before.max() + 1)
        return scores

    return score
