"""EASE against its definition and against what it minimises."""

from collections.abc import Callable

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines import ease
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.ease import MAX_ITEMS, Ease, EaseParameters, item_weights, user_gram

MakeCases = Callable[..., Cases]
MakeSequences = Callable[..., Sequences]
MakeTask = Callable[..., Task]


def test_three_items_by_hand(make_sequences: MakeSequences) -> None:
    gram, seen = user_gram(make_sequences([[0, 2, 2], [2], [0]]))
    assert seen.tolist() == [0, 2]
    assert gram.tolist() == [[2, 1], [1, 2]]  # 2 is taken twice by one user and counts once
    # with λ = 1: ((3, 1), (1, 3)) has the inverse ((3, -1), (-1, 3)) / 8, so B = 1/3 off the diagonal
    assert item_weights(gram, 1.0) == pytest.approx(np.array([[0, 1 / 3], [1 / 3, 0]]), abs=1e-6)


@pytest.mark.parametrize("block", [3, 1_024])
def test_it_is_the_best_linear_model_without_self_votes(
    block: int, make_sequences: MakeSequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each column is a ridge regression of an item on all others: solved one by one with NumPy."""
    monkeypatch.setattr(ease, "BLOCK", block)
    rng = np.random.default_rng(0)
    log = make_sequences([rng.choice(8, size=4, replace=False).tolist() for _ in range(30)])
    gram, seen = user_gram(log)
    users = np.zeros((30, 8))
    users[log.users, log.items] = 1
    found = item_weights(gram, 2.5)
    for item in range(8):
        others = np.delete(users, item, axis=1)
        penalised = np.vstack([others, 2.5**0.5 * np.eye(7)])
        target = np.concatenate([users[:, item], np.zeros(7)])
        best = np.linalg.lstsq(penalised, target, rcond=None)[0]
        assert np.delete(found[:, item], item) == pytest.approx(best, abs=1e-5)
    assert np.diag(found).tolist() == [0] * 8
    assert len(seen) == 8


def test_scores_sum_the_votes_of_the_history(
    make_cases: MakeCases, make_sequences: MakeSequences, make_task: MakeTask
) -> None:
    log = make_sequences([[0, 2], [2], [0], [3, 2]])
    cases = make_cases([[0, 3], [1]], [[2], [2]])
    task = make_task(log, cases, 5)
    votes = item_weights(user_gram(log)[0], 1.0)  # seen items 0, 2, 3
    plain = Ease().fit(task, log, EaseParameters(1.0, age=0.0))(cases)
    assert plain[0, [0, 2, 3]] == pytest.approx(votes[0] + votes[2])
    assert plain[:, [1, 4]].tolist() == [[0, 0], [0, 0]]
    assert plain[1].tolist() == [0] * 5  # item 1 was never seen
    faded = Ease().fit(task, log, EaseParameters(1.0, age=1.0))(cases)
    assert faded[0, [0, 2, 3]] == pytest.approx(votes[0] / 2 + votes[2])


def test_tuning_leaves_the_edge_of_its_grid(
    make_cases: MakeCases, make_sequences: MakeSequences, make_task: MakeTask
) -> None:
    rows = [[n, n + 10] for n in range(10)] * 3 + [[n, 20, 21] for n in range(10)] * 4 + [[20, 21]] * 40
    cases = make_cases([[n] for n in range(10)], [[n + 10] for n in range(10)])
    task = make_task(make_sequences(rows), cases, 22, criterion="recall_at_1")
    search = Ease().tune(task, 60)
    assert min(parameters.penalty for parameters in search.tried) == pytest.approx(100 / 3)  # from 100 on
    assert (search.best.penalty, search.value, search.tried[EaseParameters()]) == (100.0, 1.0, 0.0)


def test_too_many_items_are_refused(
    make_cases: MakeCases, make_sequences: MakeSequences, make_task: MakeTask
) -> None:
    count = MAX_ITEMS + 1
    task = make_task(make_sequences([list(range(count))]), make_cases([[0]], [[1]]), count)
    assert f"{count:,} items were seen" in str(Ease().refusal(task))
    assert Ease().refusal(make_task(make_sequences([[0, 1]]), make_cases([[0]], [[1]]), count)) is None
