"""Each metric on a ranking worked out by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.evaluation import harness
from learn_features.evaluation.evaluated import Evaluated
from learn_features.evaluation.harness import evaluate
from learn_features.evaluation.metrics import hit_rate, items_within, mrr, ndcg, recall, strict_ranks
from tests.evaluation.conftest import scores_of

SCORES = np.array(
    [
        [0.9, 0.1, 0.8, 0.7, 0.2],  # order: 0 2 3 4 1
        [0.5, 0.5, 0.5, 0.9, 0.1],  # 3, then a tie of 0 1 2, then 4
        [0.3, np.nan, 0.2, 0.1, 0.0],
    ],
    dtype=np.float32,
)
OFFSETS = np.array([0, 2, 3, 4])
TARGETS = np.array([2, 1, 0, 1], dtype=np.int32)


def test_strict_ranks() -> None:
    # a tie of three counts as rank 1 + 3; a score that is no number is last
    assert strict_ranks(SCORES, OFFSETS, TARGETS).tolist() == [2, 5, 4, 5]


def test_a_method_that_scores_everything_alike_finds_nothing() -> None:
    ranks = strict_ranks(np.zeros((3, 100)), OFFSETS, TARGETS)
    assert ranks.tolist() == [100] * 4
    assert recall(ranks, OFFSETS, 10).sum() == ndcg(ranks, OFFSETS, 10).sum() == 0


def test_what_differs_by_rounding_alone_is_level() -> None:
    """As items of one vector do, by where they stand in a matrix product."""
    scores = np.full((1, 60), 1.0, dtype=np.float32)
    scores[0, :8] = 0.99999994
    scores[0, 8] = 0.9999
    last = [
        strict_ranks(scores, np.array([0, 1]), np.array([item], dtype=np.int32))[0] for item in (0, 8, 59)
    ]
    assert last == [59, 60, 59]
    assert not items_within(scores, 55).any()  # without a tolerance 51 stand before the 8
    assert np.flatnonzero(items_within(-scores, 1)).tolist() == [8]
    assert items_within(scores, 59).sum() == 59
    few = np.where(np.arange(60) < 3, scores, -np.inf).astype(np.float32)
    assert np.flatnonzero(items_within(few, 10)).tolist() == [0, 1, 2]
    assert strict_ranks(np.full((1, 60), np.inf), np.array([0, 1]), np.array([3], dtype=np.int32)) == [60]
    scores[0, 5] = 1.0001
    assert np.flatnonzero(items_within(scores, 10)).tolist() == [5]


def test_metrics_by_hand() -> None:
    ranks = np.array([2, 5, 4, 5])
    assert recall(ranks, OFFSETS, 4).tolist() == [0.5, 1.0, 0.0]
    assert hit_rate(ranks, OFFSETS, 4).tolist() == [1.0, 1.0, 0.0]
    assert mrr(ranks, OFFSETS, 4).tolist() == [0.5, 0.25, 0.0]
    first = (1 / math.log2(3)) / (1 / math.log2(2) + 1 / math.log2(3))
    assert ndcg(ranks, OFFSETS, 4) == pytest.approx([first, 1 / math.log2(5), 0.0])


def test_ndcg_is_one_for_a_perfect_ranking_of_more_targets_than_k() -> None:
    assert ndcg(np.array([1, 2, 3]), np.array([0, 3]), 2).tolist() == [1.0]
    assert recall(np.array([1, 2, 3]), np.array([0, 3]), 2).tolist() == [2 / 3]


def test_harness_masks_the_history_and_a_repeated_target_with_it(make_cases: Callable[..., Cases]) -> None:
    cases = make_cases([[0, 2], [3, 3, 0]], [[3], [3]])
    methods = {"m": scores_of(SCORES)}
    masked = evaluate(methods, cases, ks=(1, 2))["m"].means()
    # case 0: 0 and 2 are gone, 3 is first; case 1: 3 was seen, and as the only seen item left would be found
    assert masked["recall_at_1"] == 0.5
    unmasked = evaluate(methods, cases, ks=(1, 3), mask_history=False)["m"].means()
    assert unmasked["recall_at_1"] == 0.5
    assert unmasked["mrr_at_3"] == pytest.approx((1 / 3 + 1) / 2)


def test_harness_does_not_depend_on_the_batch_and_leaves_scores_alone(
    make_cases: Callable[..., Cases],
) -> None:
    rng = np.random.default_rng(0)
    table = rng.random((40, 30)).astype(np.float32)
    table.flags.writeable = False
    cases = make_cases(
        [rng.integers(30, size=rng.integers(1, 8)).tolist() for _ in range(40)],
        [rng.choice(30, size=rng.integers(1, 5), replace=False).tolist() for _ in range(40)],
    )
    methods = {"m": scores_of(table)}
    seen = []
    results = [
        evaluate(methods, cases, ks=(5,), batch=b, progress=lambda d, t: seen.append((d, t)))
        for b in (1, 7, 512)
    ]
    assert results[0]["m"].means() == pytest.approx(results[1]["m"].means())
    assert results[0]["m"].means() == pytest.approx(results[2]["m"].means())
    assert seen[-1] == (40, 40)
    assert results[0]["m"].means()["recall_at_5"] == pytest.approx(_slow_recall(table, cases, 5))


def test_harness_scores_no_more_at_once_than_memory_is_meant_for(
    make_cases: Callable[..., Cases], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "SCORES_AT_ONCE", 100)
    table = np.random.default_rng(0).random((40, 30)).astype(np.float32)
    cases = make_cases([[user % 29] for user in range(40)], [[29]] * 40)
    asked = []

    def score(part: Cases) -> np.ndarray:
        asked.append(len(part))
        return table[[int(user[1:]) for user in part.user_ids]]

    few = evaluate({"m": score}, cases)["m"]
    assert asked == [1, *[3] * 13]
    monkeypatch.undo()
    assert few.means() == evaluate({"m": score}, cases)["m"].means()


def _slow_recall(scores: np.ndarray, cases: Cases, k: int) -> float:
    total = 0.0
    for row in range(len(cases)):
        targets = set(cases.targets(row).tolist())
        hidden = set(cases.history(row).tolist())
        order = sorted((i for i in range(scores.shape[1]) if i not in hidden), key=lambda i: -scores[row, i])
        total += len(targets & set(order[:k])) / len(targets)
    return total / len(cases)


def test_evaluated_by_name_and_of_some_targets_only() -> None:
    answers = Evaluated(np.array([2, 5, 4, 1]), np.array([0, 2, 3, 4]), ks=(2,))
    assert answers.per_case("recall_at_2").tolist() == [0.5, 0, 1]
    assert answers.means()["hit_rate_at_2"] == pytest.approx(2 / 3)
    part = answers.where(np.array([False, True, False, True]))
    assert (part.ranks.tolist(), part.offsets.tolist()) == ([5, 1], [0, 1, 2])
    with pytest.raises(KeyError):
        answers.per_case("accuracy_at_1")


def test_coverage_counts_what_stands_strictly_within_k(make_cases: Callable[..., Cases]) -> None:
    table = np.array([[5, 4, 3, 2, 1], [5, 4, 4, 2, 1], [9, 9, 9, 9, 9]], dtype=np.float32)
    cases = make_cases([[4], [4], [4]], [[0], [0], [0]])
    asked = {"m": scores_of(table)}
    # first two of case 0: items 0 and 1; of case 1: only 0, since 1 and 2 share rank 3; of case 2: none
    assert evaluate(asked, cases, ks=(1, 2, 3, 50), coverage=True)["m"].coverage == pytest.approx(
        {1: 1 / 5, 2: 2 / 5, 3: 3 / 5, 50: 4 / 5}
    )
    cases = make_cases([[4]], [[0]])
    among = np.array([True, False, True, True, False])
    covered = evaluate(asked, cases, ks=(2,), coverage=True, candidates=among)["m"]
    assert covered.means()["coverage_at_2"] == pytest.approx(2 / 3)


def test_candidates_are_all_that_is_ranked(make_cases: Callable[..., Cases]) -> None:
    cases = make_cases([[0], [0]], [[3, 1], [4]])
    scores = np.tile(np.array([9, 8, 7, 6, 5], dtype=np.float32), (2, 1))
    among = np.array([True, False, False, True, True])
    with pytest.raises(ValueError, match="1 of 3 targets are no candidates"):
        evaluate({"m": scores_of(scores)}, cases, candidates=among)
    asked = cases.targeting(among)
    assert [asked.targets(0).tolist(), asked.targets(1).tolist()] == [[3], [4]]
    assert evaluate({"m": scores_of(scores)}, asked, candidates=among)["m"].ranks.tolist() == [1, 2]
    assert evaluate({"m": scores_of(scores)}, asked)["m"].ranks.tolist() == [3, 4]
    none = cases.targeting(np.zeros(5, dtype=bool))
    assert len(none) == 0
    assert none.target_items.tolist() == []


def test_ranks_against_sorting(make_cases: Callable[..., Cases]) -> None:
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 6, size=(50, 12)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.1] = np.nan
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    offsets, targets = np.arange(0, 101, 2), rng.integers(12, size=100)
    for place, rank in enumerate(strict_ranks(scores, offsets, targets)):
        row = np.nan_to_num(scores[place // 2], nan=-np.inf, neginf=-np.inf)
        own = row[targets[place]]
        assert rank == 1 + sum(other >= own for item, other in enumerate(row) if item != targets[place])
