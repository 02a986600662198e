"""Exact top-k: against a full sort, ties, exclusions, short catalogues."""

import numpy as np
import pytest

from learn_features.ranking import top_k as module
from learn_features.ranking.top_k import top_k


def slow(users: np.ndarray, items: np.ndarray, k: int, hidden: list[set[int]]) -> list[list[int]]:
    """One pair at a time, sorted by (−score, position)."""
    result = []
    for row, user in enumerate(users):
        scored = [
            (-float(np.float32(user @ item)), p) for p, item in enumerate(items) if p not in hidden[row]
        ]
        result.append([position for _, position in sorted(scored)[:k]])
    return result


@pytest.mark.parametrize("block", [1, 40, 10_000])
def test_equals_a_full_sort_with_ties_and_exclusions(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(module, "_SCORES_PER_BLOCK", block)
    random = np.random.default_rng(0)
    # Small integers: dot products are exact and tie often.
    users = random.integers(-2, 3, (17, 4)).astype(np.float32)
    items = random.integers(-2, 3, (30, 4)).astype(np.float32)
    hidden = [set(random.choice(30, 5, replace=False).tolist()) for _ in users]
    exclude = [np.array(sorted(positions), np.int64) for positions in hidden]
    positions, scores = top_k(users, items, 10, exclude)
    assert positions.tolist() == slow(users, items, 10, hidden)
    np.testing.assert_array_equal(scores, np.take_along_axis(users @ items.T, positions, axis=1))


def test_missing_places_are_marked() -> None:
    users, items = np.ones((1, 2), np.float32), np.eye(2, dtype=np.float32)
    positions, scores = top_k(users, items, 4, [np.array([0])])
    assert positions.tolist() == [[1, -1, -1, -1]]
    assert scores.tolist() == [[1.0, -np.inf, -np.inf, -np.inf]]


def test_k_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        top_k(np.ones((1, 2), np.float32), np.ones((3, 2), np.float32), 0)
