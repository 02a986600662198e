"""Percentile bootstrap over cases, and over runs where a method has several (Efron & Tibshirani 1993).

A resample draws as many cases as there are, with replacement; where values have several runs (seeds), it
draws runs as well, then takes the mean of the drawn runs over the drawn cases. Every method is read on
the same drawn cases, so differences and ratios are paired; runs are drawn for each method by itself, unless
run by run they are of the same towers (`same_runs`). Three runs drawn from three show two thirds of
their variance: where seeds differ more than cases do, an interval is too narrow. Own code because
`scipy.stats.bootstrap` has neither the second level nor resamples that methods share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
RESAMPLES = 2_000
_CHUNK = 4_000_000
"""Drawn cases held at once."""


@dataclass(frozen=True)
class Interval:
    """A value and the bounds of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Resampled:
    """A value, and what it is on every resample: float64 (resamples,)."""

    value: float
    resamples: np.ndarray

    def minus(self, other: "Resampled") -> "Resampled":
        return Resampled(self.value - other.value, self.resamples - other.resamples)

    def over(self, other: "Resampled") -> "Resampled":
        """Infinite where the other is 0, not a number where both are."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(np.float64(self.value) / other.value)
            return Resampled(value, self.resamples / other.resamples)

    def interval(self, level: float = LEVEL) -> Interval:
        """Bounds are resamples themselves and may be infinite; those without a value (0 / 0) do not count."""
        outside = (1 - level) / 2
        told = self.resamples[~np.isnan(self.resamples)]
        if not len(told):
            return Interval(self.value, np.nan, np.nan)
        low, high = np.quantile(told, [outside, 1 - outside], method="inverted_cdf")
        return Interval(self.value, float(low), float(high))


class Bootstrap:
    """Resamples of `n` cases; the same seed gives the same."""

    def __init__(self, n: int, *, seed: int = 0, resamples: int = RESAMPLES) -> None:
        self.n, self.seed, self.resamples = n, seed, resamples

    def interval(self, values: np.ndarray, level: float = LEVEL) -> Interval:
        """Mean of `values` (n,) or (runs, n), and its interval."""
        return self.resample([values])[0].interval(level)

    def difference(self, ours: np.ndarray, theirs: np.ndarray, level: float = LEVEL) -> Interval:
        """Mean of `ours` minus that of `theirs`; each (n,) or (runs, n), runs drawn independently."""
        a, b = self.resample([ours, theirs])
        return a.minus(b).interval(level)

    def ratio(
        self, ours: np.ndarray, theirs: np.ndarray, level: float = LEVEL, *, same_runs: bool = False
    ) -> Interval:
        """Mean of `ours` over that of `theirs`."""
        a, b = self.resample([ours, theirs], same_runs=same_runs)
        return a.over(b).interval(level)

    def resample(self, methods: Sequence[np.ndarray], *, same_runs: bool = False) -> list[Resampled]:
        """The mean of each (n,) or (runs, n), all on the same drawn cases, and on the same drawn runs where
        they have the `same_runs`; many at once cost little more."""
        rng = np.random.default_rng(self.seed)
        tables = [np.atleast_2d(values) for values in methods]
        if same_runs:
            run_shares = [_run_shares(rng, self.resamples, len(tables[0]))] * len(tables)
        else:
            run_shares = [_run_shares(rng, self.resamples, len(table)) for table in tables]
        columns = np.concatenate(tables).T
        owners = np.cumsum([0, *(len(table) for table in tables)])
        means = np.empty((self.resamples, len(tables)))
        step = max(1, _CHUNK // self.n)
        for start in range(0, self.resamples, step):
            rows = slice(start, min(start + step, self.resamples))
            by_run = _case_shares(rng, rows.stop - start, self.n) @ columns
            for table, shares in enumerate(run_shares):
                own = by_run[:, owners[table] : owners[table + 1]]
                means[rows, table] = (own * shares[rows]).sum(axis=1)
        return [Resampled(float(table.mean()), column) for table, column in zip(tables, means.T, strict=True)]


def _run_shares(rng: np.random.Generator, resamples: int, runs: int) -> np.ndarray:
    """float64 (resamples, runs): how often each run was drawn, over `runs`."""
    if runs == 1:
        return np.ones((resamples, 1))
    drawn = rng.integers(runs, size=(resamples, runs))
    return np.asarray((drawn[:, :, None] == np.arange(runs)).mean(axis=1))


def _case_shares(rng: np.random.Generator, resamples: int, n: int) -> np.ndarray:
    """float64 (resamples, n): how often each case was drawn, over n."""
    drawn = rng.integers(n, size=(resamples, n))
    drawn += np.arange(resamples)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n) / n
