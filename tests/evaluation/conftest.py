"""Small logs and cases, written out by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.evaluation.baselines.baseline import Task


def scores_of(table: np.ndarray) -> Callable[[Cases], np.ndarray]:
    """A scorer that gives the user `u<n>` row n of `table`, however cases are cut."""
    return lambda asked: table[[int(user[1:]) for user in asked.user_ids]]


def _csr(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return offsets, np.array([item for row in lists for item in row], dtype=np.int32)


@pytest.fixture
def make_cases() -> Callable[..., Cases]:
    """Cases of (history, targets) per user; request times in µs."""

    def make(
        histories: list[list[int]], targets: list[list[int]], requests: list[int] | None = None
    ) -> Cases:
        history_offsets, history = _csr(histories)
        target_offsets, target = _csr(targets)
        times = np.array(requests or [0] * len(targets), dtype=np.int64)
        users = [f"u{n}" for n in range(len(targets))]
        return Cases(users, history_offsets, history, np.zeros(len(history)), target_offsets, target, times)

    return make


@pytest.fixture
def make_sequences() -> Callable[..., Sequences]:
    def make(items: list[list[int]], times: list[list[int]] | None = None) -> Sequences:
        offsets, flat = _csr(items)
        stamps = np.array([t for row in times or [range(len(i)) for i in items] for t in row], dtype=np.int64)
        return Sequences([f"u{n}" for n in range(len(items))], offsets, flat, stamps)

    return make


@pytest.fixture
def make_task() -> Callable[..., Task]:
    """A task on one log and one set of cases, which stand for every part of the split."""

    def make(log: Sequences, cases: Cases, n_items: int, **terms: object) -> Task:
        parts = Split("leave_one_out", log, cases, log, cases, log, 0, has_times=True)
        return Task(parts, n_items, **terms)  # type: ignore[arg-type]

    return make
