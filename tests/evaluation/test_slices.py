"""Slices of a log that can be counted by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.harness import evaluate
from learn_features.evaluation.slices import activity_deciles, by_slice, popularity_deciles, slices
from tests.evaluation.conftest import scores_of


def test_deciles_of_items_hold_equal_interactions() -> None:
    # 20 interactions: item 0 none; 1 … 4 one each, 5 two, 6 four, 7 ten
    deciles = popularity_deciles(np.array([0, 1, 1, 1, 1, 2, 4, 10]))
    # middles .5 1.5 2.5 3.5 5 8 15 of 20
    assert deciles.tolist() == [0, 1, 1, 2, 2, 3, 5, 8]
    assert popularity_deciles(np.zeros(3, dtype=np.int64)).tolist() == [0, 0, 0]


def test_deciles_of_users_keep_equals_together() -> None:
    assert activity_deciles(np.arange(10)).tolist() == list(range(1, 11))
    assert activity_deciles(np.array([3, 3, 3, 3, 9])).tolist() == [1, 1, 1, 1, 9]


def test_metrics_of_a_slice_are_of_its_targets_only(
    make_cases: Callable[..., Cases], make_sequences: Callable[..., Sequences]
) -> None:
    log = make_sequences([[0, 0, 0, 0, 0, 1], [0, 0, 0, 2]])  # 0 eight times, 1 and 2 once, 3 never
    cases = make_cases([[2], [1, 2], [1] * 12], [[0, 3], [1], [3, 0]])
    scores = np.array([[4, 1, 2, 3], [4, 3, 2, 1], [4, 3, 2, 1]], dtype=np.float32)
    methods = evaluate({"m": scores_of(scores)}, cases, ks=(1, 2), mask_history=False)
    parts = slices(cases, log, 4)
    found = by_slice(methods, parts)
    by_name = {part.name: part.targets.tolist() for part in parts}
    assert by_name["cold_items"] == [False, True, False, True, False]
    assert by_name["long_tail_items"] == [False, False, True, False, False]
    assert by_name["popular_items"] == [True, False, False, False, True]
    assert by_name["history_1"] == [True, True, False, False, False]
    assert by_name["history_2_4"] == [False, False, True, False, False]
    assert by_name["history_10_19"] == [False, False, False, True, True]
    assert "history_50_up" not in by_name
    assert "item_decile_5" not in by_name

    cold = found["cold_items"]
    assert (cold["cases"], cold["targets"]) == (2, 2)
    assert cold["methods"]["m"]["recall_at_2"] == 0.5  # type: ignore[index]
    assert cold["methods"]["m"]["recall_at_1"] == 0.0  # type: ignore[index]
    assert found["popular_items"]["methods"]["m"]["ndcg_at_1"] == 1.0  # type: ignore[index]
    assert sum(int(str(found[f"user_decile_{d}"]["cases"])) for d in (1, 4, 7)) == 3


@pytest.mark.parametrize("items", [1, 7, 40])
def test_every_seen_item_has_one_decile(items: int) -> None:
    counts = np.random.default_rng(items).integers(0, 30, size=items)
    deciles = popularity_deciles(counts)
    assert ((deciles == 0) == (counts == 0)).all()
    order = np.argsort(counts, kind="stable")
    assert (np.diff(deciles[order]) >= 0).all()
    assert deciles.max(initial=0) <= 10
