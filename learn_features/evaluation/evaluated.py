"""One method's answers to a set of cases: the rank of every target, and whatever follows from it."""

from dataclasses import dataclass, field

import numpy as np

from learn_features.evaluation.metrics import METRICS


@dataclass(frozen=True)
class Evaluated:
    """Ranks in CSR form, as the cases' targets.

    ranks     int64 (targets,), strict, from 1
    offsets   int64 (n + 1,)
    ks        the cut-offs that `means` reports
    coverage  k → share of the candidate items that are among the first k of any case
    """

    ranks: np.ndarray
    offsets: np.ndarray
    ks: tuple[int, ...] = (10,)
    coverage: dict[int, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def per_case(self, name: str) -> np.ndarray:
        """float64 (n,) of a metric such as `ndcg_at_10`; `KeyError` if there is no such metric."""
        metric, _, k = name.rpartition("_at_")
        return METRICS[metric](self.ranks, self.offsets, int(k))

    def means(self) -> dict[str, float]:
        """Every metric's mean over the cases at every k, and coverage where it was counted."""
        names = [f"{metric}_at_{k}" for metric in METRICS for k in self.ks]
        return {name: float(self.per_case(name).mean()) for name in names} | {
            f"coverage_at_{k}": share for k, share in self.coverage.items()
        }

    def where(self, targets: np.ndarray) -> "Evaluated":
        """Only the `targets` of a bool array (targets,), and the cases that still have one."""
        counts = np.add.reduceat(targets.astype(np.int64), self.offsets[:-1])
        offsets = np.concatenate([[0], np.cumsum(counts[counts > 0])]).astype(np.int64)
        return Evaluated(self.ranks[targets], offsets, self.ks)
