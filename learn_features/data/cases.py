"""What an evaluation asks: given this history at this time, which items come next?"""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Cases:
    """One case a user, CSR as in `Sequences`.

    history_*         what is known before the cut, oldest first; not cut to a rule's `max_length`
    target_items      int32, the distinct items that come next, in their order
    request_times_us  int64 (n,), when the ranking is asked for: time of the first of all targets, also where
                      only some of them are left (`targeting`)
    ages_us           int64 (n,), how long before the end of what models are fitted on a case's history ended,
                      where cases are of different times (leave-one-out); None: all are asked at that end
    """

    user_ids: list[str]
    history_offsets: np.ndarray
    history_items: np.ndarray
    history_times_us: np.ndarray
    target_offsets: np.ndarray
    target_items: np.ndarray
    request_times_us: np.ndarray
    ages_us: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user_ids)

    def history(self, case: int) -> np.ndarray:
        """int32 (length,)"""
        return self.history_items[self.history_offsets[case] : self.history_offsets[case + 1]]

    def targets(self, case: int) -> np.ndarray:
        """int32 (targets,)"""
        return self.target_items[self.target_offsets[case] : self.target_offsets[case + 1]]

    def select(self, which: slice | np.ndarray) -> "Cases":
        """The cases of a slice, or of an int or bool array, in that order."""
        rows = np.arange(len(self))[which]
        history_offsets, history = _gather(self.history_offsets, rows)
        target_offsets, target = _gather(self.target_offsets, rows)
        return Cases(
            user_ids=[self.user_ids[row] for row in rows],
            history_offsets=history_offsets,
            history_items=self.history_items[history],
            history_times_us=self.history_times_us[history],
            target_offsets=target_offsets,
            target_items=self.target_items[target],
            request_times_us=self.request_times_us[rows],
            ages_us=None if self.ages_us is None else self.ages_us[rows],
        )

    def at_log_end(self) -> "Cases":
        """The same asked at the end of what models are fitted on, as a bundle is served."""
        return replace(self, ages_us=None)

    def targeting(self, items: np.ndarray) -> "Cases":
        """Only the targets among `items` (bool (items,)), and the cases that still have one."""
        wanted = items[self.target_items]
        counts = np.add.reduceat(wanted.astype(np.int64), self.target_offsets[:-1])
        kept = self.select(counts > 0)
        return replace(
            kept,
            target_offsets=np.concatenate([[0], np.cumsum(counts[counts > 0])]).astype(np.int64),
            target_items=self.target_items[wanted],
        )

    def without(self, items: np.ndarray) -> "Cases":
        """With none of the `items` (bool (items,)) in histories and targets, and only cases that still have
        some of both."""
        asked = self.targeting(~items)
        left = ~items[asked.history_items]
        offsets = np.concatenate([[0], np.cumsum(left)])[asked.history_offsets].astype(np.int64)
        shorter = replace(
            asked,
            history_offsets=offsets,
            history_items=asked.history_items[left],
            history_times_us=asked.history_times_us[left],
        )
        return shorter.select(np.diff(offsets) > 0)

    def sample(self, at_most: int, seed: int = 0) -> "Cases":
        """All cases, or `at_most` of them drawn by `seed`, in their order."""
        if len(self) <= at_most:
            return self
        drawn = np.random.default_rng(seed).choice(len(self), size=at_most, replace=False)
        return self.select(np.sort(drawn))


def _gather(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (n + 1,) of the selected rows, and where their entries stand."""
    lengths = np.diff(offsets)[rows]
    new = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    entries = np.arange(new[-1]) - np.repeat(new[:-1], lengths) + np.repeat(offsets[rows], lengths)
    return new, entries
