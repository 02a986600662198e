"""Percentile bootstrap over cases, and over runs where a method has several (Efron & Tibshirani 1993).

A resample draws as many cases as there are, with replacement; where values have several runs (seeds), it
draws runs as well, then takes the mean of the drawn runs over the drawn cases. Every method is read on
the same drawn cases, so differences and ratios are paired. Own code because `scipy.stats.bootstrap` has
neither the second level nor resamples that methods share.
"""

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


class Bootstrap:
    """Resamples of `n` cases; the same seed gives the same."""

    def __init__(self, n: int, *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL) -> None:
        self.n, self.seed, self.resamples, self.level = n, seed, resamples, level

    def interval(self, values: np.ndarray) -> Interval:
        """Mean of `values` (n,) or (runs, n), and its interval."""
        return self._bounds(float(values.mean()), self._means([values])[0])

    def difference(self, ours: np.ndarray, theirs: np.ndarray) -> Interval:
        """Mean of `ours` minus that of `theirs`; each (n,) or (runs, n), runs drawn independently."""
        a, b = self._means([ours, theirs])
        return self._bounds(float(ours.mean() - theirs.mean()), a - b)

    def ratio(self, ours: np.ndarray, theirs: np.ndarray) -> Interval:
        """Mean of `ours` over that of `theirs`; infinite where theirs is 0."""
        a, b = self._means([ours, theirs])
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._bounds(float(ours.mean() / theirs.mean()), a / b)

    def _means(self, methods: list[np.ndarray]) -> list[np.ndarray]:
        """Per method float64 (resamples,)."""
        rng = np.random.default_rng(self.seed)
        run_shares = []
        tables = [np.atleast_2d(values) for values in methods]
        for runs in (len(table) for table in tables):
            drawn = rng.integers(runs, size=(self.resamples, runs))
            counts = np.stack([(drawn == run).sum(axis=1) for run in range(runs)], axis=1)
            run_shares.append(counts / runs)
        means: list[list[np.ndarray]] = [[] for _ in tables]
        step = max(1, _CHUNK // self.n)
        for start in range(0, self.resamples, step):
            rows = min(step, self.resamples - start)
            drawn = rng.integers(self.n, size=(rows, self.n))
            flat = drawn + np.arange(rows)[:, None] * self.n
            weights = np.bincount(flat.ravel(), minlength=rows * self.n).reshape(rows, self.n) / self.n
            for table, shares, out in zip(tables, run_shares, means, strict=True):
                by_run = weights @ table.T
                out.append((by_run * shares[start : start + rows]).sum(axis=1))
        return [np.concatenate(parts) for parts in means]

    def _bounds(self, value: float, resampled: np.ndarray) -> Interval:
        outside = (1 - self.level) / 2
        low, high = np.quantile(resampled, [outside, 1 - outside])
        return Interval(value, float(low), float(high))
