"""Popularity, ever and just before a request."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.popularity import Popularity, PopularityParameters, popularity
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
MakeTask = Callable[..., Task]


def test_popularity_counts_interactions(make_cases: MakeCases, make_sequences: MakeSequences) -> None:
    scorer = popularity(make_sequences([[0, 1, 1], [1, 2]]), 4)
    assert scorer(make_cases([[0], [1]], [[2], [3]])).tolist() == [[1, 3, 1, 0]] * 2


def test_older_interactions_can_count_less(make_cases: MakeCases, make_sequences: MakeSequences) -> None:
    log = make_sequences([[0, 0, 1], [2]], [[0, 2 * DAY, 4 * DAY], [3 * DAY]])
    scores = popularity(log, 4, half_life_days=2.0)(make_cases([[0]], [[1]], [99 * DAY]))
    assert scores[0].tolist() == pytest.approx([0.25 + 0.5, 1.0, 0.5**0.5, 0.0])


def test_how_fast_popularity_is_over_is_tuned_where_there_are_times(
    make_cases: MakeCases, make_sequences: MakeSequences, make_task: MakeTask
) -> None:
    """Item 0 was taken three times long ago, item 1 twice of late, item 2 once at the very end."""
    times = [[0, DAY, 2 * DAY, 99 * DAY, 99 * DAY, 100 * DAY]]
    task = make_task(make_sequences([[0, 0, 0, 1, 1, 2]], times), make_cases([[3]], [[1]]), 4)
    assert Popularity().tune(task, 60).best.half_life_days in (2.0, 4.0, 8.0, 16.0)
    assert Popularity().tune(task, 60).tried[PopularityParameters()] < 1
    no_times = replace(task, split=replace(task.split, has_times=False))
    assert list(Popularity().tune(no_times, 60).tried) == [PopularityParameters()]


def test_recent_popularity_sees_the_three_days_before_the_request(
    make_cases: MakeCases, make_sequences: MakeSequences
) -> None:
    log = make_sequences([[0, 0, 1, 2], [1, 3]], [[0, 1, 4 * DAY, 6 * DAY], [5 * DAY, 8 * DAY]])
    scores = recent_popularity(log, 5, 3 * DAY)(make_cases([[0], [0], [0]], [[1]] * 3, [6 * DAY, 0, 7 * DAY]))
    # at day 6: 1 twice; 2, at that very time, is not known yet; what was popular long ago breaks ties
    assert scores[0].tolist() == pytest.approx([0.5 * 2 / 3, 1, 0, 0, 0])
    assert scores[1].tolist() == [0, 0, 0, 0, 0]
    assert np.floor(scores[2]).tolist() == [0, 2, 1, 0, 0]


def test_what_was_popular_before_breaks_ties_of_large_counts(
    make_cases: MakeCases, make_sequences: MakeSequences
) -> None:
    """All were taken a hundred times of late, and before that the last one a little more often."""
    late, before = [0, 1, 2] * 100, [0] * 19_999 + [1] * 19_999 + [2] * 20_000
    log = make_sequences([before + late], [[0] * len(before) + [9 * DAY] * len(late)])
    cases = make_cases([[3]], [[2]], [9 * DAY + 1])
    found = evaluate({"": recent_popularity(log, 4, DAY)}, cases)[""]
    assert found.ranks.tolist() == [1]


def test_tuning_finds_the_window_even_beyond_the_grid(
    make_cases: MakeCases, make_sequences: MakeSequences, make_task: MakeTask
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
    search = RecentPopularity().tune(make_task(log, cases, 13, criterion="recall_at_1"), 60)
    assert 1 / 24 <= search.best.days <= 4 / 24
    assert search.value == 1.0
    assert search.tried[RecentPopularityParameters(3.0)] == 0.0
    assert search.tried[RecentPopularityParameters(1.0)] == pytest.approx(1 / 3)
