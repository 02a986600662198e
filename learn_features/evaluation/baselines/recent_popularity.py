"""What was popular just before the request: sees the clock, and what everybody did until then."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.search import Knob, Search
from learn_features.evaluation.harness import Scorer

DAY_US = 86_400_000_000
DAYS = Knob("days", (1.0, 3.0, 7.0, 14.0), low=1 / 24, high=365.0)


@dataclass(frozen=True)
class RecentPopularityParameters:
    """`days` before the request count."""

    days: float = 3.0


class RecentPopularity:
    """Interactions of each item within some days before the request, in the whole log."""

    name = "recent_popularity"
    sees_clock = True
    budget_seconds = 60.0

    def refusal(self, task: Task) -> str | None:
        return None if task.split.has_times else "the data has only an order, no times"

    def tune(self, task: Task, budget_seconds: float) -> Search[RecentPopularityParameters]:
        search = Search[RecentPopularityParameters](
            lambda parameters: task.value(self.fit(task, task.split.train, parameters)), budget_seconds
        )
        search.attempt(RecentPopularityParameters())
        search.along(DAYS)
        return search

    def fit(self, task: Task, fitted_on: Sequences, parameters: RecentPopularityParameters) -> Scorer:
        """Reads `task.split.everything`, each case only what lies strictly before its request."""
        return recent_popularity(task.split.everything, task.n_items, int(parameters.days * DAY_US))


class RecentCounts:
    """How often each item was taken just before a time.

    `log` is the whole log: at request time what others did until then is known.
    """

    def __init__(self, log: Sequences, n_items: int) -> None:
        order = np.argsort(log.times_us, kind="stable")
        self._times, self._items = log.times_us[order], log.items[order]
        self.n_items = n_items

    def within(self, window_us: int, request_times_us: np.ndarray) -> np.ndarray:
        """float32 (n, items): interactions at times in [request - window, request)."""
        starts = np.searchsorted(self._times, request_times_us - window_us, side="left")
        counts = np.empty((len(request_times_us), self.n_items), dtype=np.float32)
        for row, (start, end) in enumerate(zip(starts, self._ends(request_times_us), strict=True)):
            counts[row] = np.bincount(self._items[start:end], minlength=self.n_items)
        return counts

    def ever(self, request_times_us: np.ndarray) -> np.ndarray:
        """float32 (n, items): interactions at times before each request."""
        ends = self._ends(request_times_us)
        counts = np.empty((len(ends), self.n_items), dtype=np.float32)
        before = np.zeros(self.n_items)
        counted = 0
        for row in np.argsort(ends, kind="stable"):
            before += np.bincount(self._items[counted : ends[row]], minlength=self.n_items)
            counted = ends[row]
            counts[row] = before
        return counts

    def fading(self, half_life_us: float, request_times_us: np.ndarray) -> np.ndarray:
        """float32 (n, items): Σ 2^-(age / half life) over interactions at times before each request."""
        ends = self._ends(request_times_us)
        counts = np.empty((len(ends), self.n_items), dtype=np.float32)
        faded = np.zeros(self.n_items)
        counted, now = 0, int(self._times[0]) if len(self._times) else 0
        for row in np.argsort(request_times_us, kind="stable"):
            request = max(now, int(request_times_us[row]))
            new = slice(counted, ends[row])
            ages = (request - self._times[new]) / half_life_us
            faded *= 2.0 ** ((now - request) / half_life_us)
            faded += np.bincount(self._items[new], weights=2.0**-ages, minlength=self.n_items)
            counts[row] = faded
            counted, now = ends[row], request
        return counts

    def _ends(self, request_times_us: np.ndarray) -> np.ndarray:
        """Where the past of each request ends: what happens at that very time is not known yet."""
        return np.searchsorted(self._times, request_times_us, side="left")


def recent_popularity(log: Sequences, n_items: int, window_us: int) -> Scorer:
    """Interactions of each item within `window_us` before the case's request, the request excluded.

    Items with equally many rank by what they had before. Scores are places in that order, as large counts
    would lose the second to rounding. Needs real times.
    """
    counts = RecentCounts(log, n_items)

    def score(cases: Cases) -> np.ndarray:
        ever = counts.ever(cases.request_times_us)
        beyond = ever.max(axis=1, initial=0) + 1
        scores = ever / (2 * beyond[:, None])
        for row, within in enumerate(counts.within(window_us, cases.request_times_us)):
            taken = np.flatnonzero(within)
            both = within[taken].astype(np.float64) * beyond[row] + ever[row, taken]
            scores[row, taken] = rankdata(both, method="dense")
        return scores

    return score
