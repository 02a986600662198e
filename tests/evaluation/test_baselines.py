"""Each baseline on a log worked out by hand."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.item_cf import STARTS, ItemCF, ItemCFParameters, PairCounts
from learn_features.evaluation.baselines.mean_content import (
    MeanContent,
    MeanContentParameters,
    mean_content,
)
from learn_features.evaluation.baselines.popularity import popularity
from learn_features.evaluation.baselines.recent_popularity import (
    DAY_US,
    RecentPopularity,
    RecentPopularityParameters,
    recent_popularity,
)
from learn_features.evaluation.harness import evaluate

DAY = DAY_US
MakeCases = Callable[..., Cases]
MakeSequences = Callable[..., Sequences]


def _task(log: Sequences, cases: Cases, n_items: int, content: np.ndarray | None = None) -> Task:
    """Validation and test are the same cases; what was fitted is the whole log."""
    return Task(Split("leave_one_out", log, cases, log, cases, log, 0, has_times=True), n_items, content)


def test_popularity_counts_interactions(make_cases: MakeCases, make_sequences: MakeSequences) -> None:
    scorer = popularity(make_sequences([[0, 1, 1], [1, 2]]), 4)
    assert scorer(make_cases([[0], [1]], [[2], [3]])).tolist() == [[1, 3, 1, 0]] * 2


def test_recent_popularity_sees_the_three_days_before_the_request(
    make_cases: MakeCases, make_sequences: MakeSequences
) -> None:
    log = make_sequences([[0, 0, 1, 2], [1, 3]], [[0, 1, 4 * DAY, 6 * DAY], [5 * DAY, 8 * DAY]])
    scores = recent_popularity(log, 5, 3 * DAY)(make_cases([[0], [0], [0]], [[1]] * 3, [6 * DAY, 0, 7 * DAY]))
    # at day 6: 1 twice; 2, at that very time, is not known yet; what was popular long ago breaks ties
    assert scores[0].tolist() == pytest.approx([0.5 * 2 / 3, 2 + 0.5 * 2 / 3, 0, 0, 0])
    assert scores[1].tolist() == [0, 0, 0, 0, 0]
    assert np.floor(scores[2]).tolist() == [0, 2, 1, 0, 0]


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


def test_content_is_the_cosine_to_the_mean_of_the_newest(make_cases: MakeCases) -> None:
    vectors = np.array([[2, 0], [0, 1], [3, 3], [0, 0]], dtype=np.float16)
    scores = mean_content(vectors, MeanContentParameters(newest=2, age=0))(
        make_cases([[1, 0, 1], [0]], [[2], [2]])
    )
    half = 0.5**0.5
    assert scores[0].tolist() == pytest.approx([half, half, 1.0, 0.0], abs=1e-3)
    assert scores[1].tolist() == pytest.approx([1.0, 0.0, half, 0.0], abs=1e-3)
    whole = mean_content(vectors, MeanContentParameters(newest=None, age=0))(
        make_cases([[1, 0, 1], [0]], [[2], [2]])
    )
    assert whole[0, 1] > whole[0, 0] > 0


def test_tuning_finds_that_order_matters(make_cases: MakeCases, make_sequences: MakeSequences) -> None:
    """After x comes y, and before x mostly p: whoever looks backward recommends p."""
    chains = [(p, 20 + p, 40 + p) for p in range(20)]
    log = make_sequences([[p, x] for p, x, _ in chains] * 10 + [[x, y] for _, x, y in chains] * 2)
    cases = make_cases([[x] for _, x, _ in chains], [[y] for _, _, y in chains])
    parameters = ItemCF().tune(_task(log, cases, 60), 60).best
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


def test_tuning_leaves_no_start_behind(make_cases: MakeCases, make_sequences: MakeSequences) -> None:
    rng = np.random.default_rng(0)
    log = make_sequences([rng.zipf(1.5, size=9).clip(max=50).tolist() for _ in range(200)])
    cases = make_cases(
        [log.items[a : b - 1].tolist() for a, b in pairwise(log.offsets)],
        [[int(log.items[b - 1])] for b in log.offsets[1:]],
    )
    chosen = ItemCF().tune(_task(log, cases, 51), 60).best
    counts = PairCounts(log, 51, 50)
    tried = {str(p): counts.scorer(p) for p in (*STARTS, chosen)}
    values = {name: metrics.means()["ndcg_at_10"] for name, metrics in evaluate(tried, cases).items()}
    assert values[str(chosen)] == max(values.values()) > 0


def test_tuning_finds_the_window_even_beyond_the_grid(
    make_cases: MakeCases, make_sequences: MakeSequences
) -> None:
    """An hour before each request its target was taken; other items 4, 10 or 30 hours before, twice."""
    hour = DAY // 24
    requests = [day * 4 * DAY for day in range(12)]
    decoys = [(30, 10, 4)[day // 4] for day in range(12)]
    rows = [(day, request - hour) for day, request in enumerate(requests)]
    for day, request in enumerate(requests):
        rows += [((day + 5) % 12, request - decoys[day] * hour - n) for n in (1, 2)]
    log = make_sequences([[item] for item, _ in rows], [[time] for _, time in rows])
    cases = make_cases([[12]] * 12, [[day] for day in range(12)], requests)
    task = Task(
        Split("leave_one_out", log, cases, log, cases, log, 0, has_times=True), 13, criterion="recall_at_1"
    )
    search = RecentPopularity().tune(task, 60)
    assert 1 / 24 <= search.best.days <= 4 / 24
    assert search.value == 1.0
    assert search.tried[RecentPopularityParameters(3.0)] == 0.0
    assert search.tried[RecentPopularityParameters(1.0)] == pytest.approx(1 / 3)


def test_tuning_content_finds_that_only_the_newest_matters(
    make_cases: MakeCases, make_sequences: MakeSequences
) -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(40, 8))
    vectors[20:] = vectors[:20] + 0.05 * rng.normal(size=(20, 8))  # item 20 + n is like item n
    histories = [[*rng.integers(20, size=6).tolist(), n] for n in range(20)]
    cases = make_cases(histories, [[20 + n] for n in range(20)])
    search = MeanContent().tune(_task(make_sequences(histories), cases, 40, vectors), 60)
    assert search.best.newest == 1
    assert search.value > 0.99
    assert search.tried[MeanContentParameters(newest=None)] < 0.9
