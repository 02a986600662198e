"""Item-CF on logs worked out by hand."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.item_cf import STARTS, ItemCF, ItemCFParameters, PairCounts
from learn_features.evaluation.harness import evaluate

MakeCases = Callable[..., Cases]
MakeSequences = Callable[..., Sequences]
MakeTask = Callable[..., Task]


def test_item_cf_similarity_by_hand(make_sequences: MakeSequences) -> None:
    log = make_sequences([[0, 1, 2], [0, 1], [1, 1]])
    parameters = ItemCFParameters(
        window=2, distance=1.0, backward=0.5, shrink=1.0, source=1.0, target=0.5, age=1.0
    )
    similarity = PairCounts(log, 4, 10).similarity(parameters).toarray()
    # forward: 0→1 twice, 1→2 once, 0→2 at distance 2; n = 2, 4, 1, 0; smoothed 3, 5, 2
    expected = np.zeros((4, 4))
    expected[0, 1] = 2 / (3 * 5**0.5)
    expected[1, 2] = 1 / (5 * 2**0.5)
    expected[0, 2] = 0.5 / (3 * 2**0.5)
    expected[1, 0] = 0.5 * 2 / (5 * 3**0.5)
    expected[2, 1] = 0.5 * 1 / (2 * 5**0.5)
    expected[2, 0] = 0.5 * 0.5 / (2 * 3**0.5)
    assert similarity == pytest.approx(expected, rel=1e-6)


def test_item_cf_votes_by_hand(make_cases: MakeCases, make_sequences: MakeSequences) -> None:
    log = make_sequences([[0, 2], [1, 3], [1, 3]])
    parameters = ItemCFParameters(
        window=1, distance=0.0, backward=0.0, shrink=0.0, source=0.0, target=0.0, age=2.0
    )
    scores = PairCounts(log, 4, 10).scorer(parameters)(make_cases([[0, 1], [1, 0]], [[2], [3]]))
    # the newest history item counts fully, the one before 2^-2
    assert scores.tolist() == [[0, 0, 0.25, 2], [0, 0, 1, 0.5]]


def test_item_cf_window_ends_at_the_window_and_at_the_user(make_sequences: MakeSequences) -> None:
    counts = PairCounts(make_sequences([[0, 1, 2, 3], [4]]), 5, 50)
    near = ItemCFParameters(window=1, backward=0.0)
    assert np.argwhere(counts.similarity(near).toarray() > 0).tolist() == [[0, 1], [1, 2], [2, 3]]
    far = ItemCFParameters(window=3, backward=0.0)
    assert len(np.argwhere(counts.similarity(far).toarray() > 0)) == 6


def test_dense_and_sparse_votes_agree(make_cases: MakeCases, make_sequences: MakeSequences) -> None:
    rng = np.random.default_rng(1)
    log = make_sequences([rng.integers(200, size=12).tolist() for _ in range(5)])
    counts = PairCounts(log, 200, 10)
    assert counts.similarity(ItemCFParameters()).nnz < 0.1 * 200**2
    cases = make_cases([rng.integers(200, size=6).tolist() for _ in range(4)], [[0]] * 4)
    sparse = counts.scorer(ItemCFParameters())(cases)
    dense = np.zeros((4, 200))
    similarity = counts.similarity(ItemCFParameters()).toarray()
    for row in range(4):
        for age, item in enumerate(reversed(cases.history(row).tolist()), start=1):
            dense[row] += age**-0.5 * similarity[item]
    assert sparse == pytest.approx(dense, abs=1e-6)


def test_tuning_finds_that_order_matters(
    make_cases: MakeCases, make_sequences: MakeSequences, make_task: MakeTask
) -> None:
    """After x comes y, and before x mostly p: whoever looks backward recommends p."""
    chains = [(p, 20 + p, 40 + p) for p in range(20)]
    log = make_sequences([[p, x] for p, x, _ in chains] * 10 + [[x, y] for _, x, y in chains] * 2)
    cases = make_cases([[x] for _, x, _ in chains], [[y] for _, _, y in chains])
    parameters = ItemCF().tune(make_task(log, cases, 60), 60).best
    results = evaluate(
        {
            "tuned": PairCounts(log, 60, 50).scorer(parameters),
            "plain": PairCounts(log, 60, 50).scorer(ItemCFParameters(backward=1.0)),
        },
        cases,
        ks=(1,),
    )
    assert parameters.backward == 0.0
    assert results["tuned"].means()["recall_at_1"] == 1.0
    assert results["plain"].means()["recall_at_1"] == 0.0


def test_tuning_leaves_no_start_behind(
    make_cases: MakeCases, make_sequences: MakeSequences, make_task: MakeTask
) -> None:
    rng = np.random.default_rng(0)
    log = make_sequences([rng.zipf(1.5, size=9).clip(max=50).tolist() for _ in range(200)])
    cases = make_cases(
        [log.items[a : b - 1].tolist() for a, b in pairwise(log.offsets)],
        [[int(log.items[b - 1])] for b in log.offsets[1:]],
    )
    chosen = ItemCF().tune(make_task(log, cases, 51), 60).best
    counts = PairCounts(log, 51, 50)
    tried = {str(p): counts.scorer(p) for p in (*STARTS, chosen)}
    values = {name: metrics.means()["ndcg_at_10"] for name, metrics in evaluate(tried, cases).items()}
    assert values[str(chosen)] == max(values.values()) > 0
