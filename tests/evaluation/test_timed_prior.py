"""The prior by time: strictly the past, by hand, and never worse on validation."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.errors import DataError
from learn_features.evaluation.baselines.recent_popularity import DAY_US, RecentCounts, recent_popularity
from learn_features.evaluation.harness import evaluate
from learn_features.evaluation.timed_prior import TimedParameters, timed, tune_timed

MakeCases = Callable[..., Cases]
MakeSequences = Callable[..., Sequences]
DAY = DAY_US


def _log(items: list[int], times: list[int]) -> Sequences:
    return Sequences(
        ["u"],
        np.array([0, len(items)]),
        np.array(items, dtype=np.int32),
        np.array(times, dtype=np.int64),
    )


def test_scores_by_hand(make_cases: MakeCases) -> None:
    log = _log([0, 0, 1, 2, 1], [0, 2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY])
    cases = make_cases([[3], [3]], [[0], [0]], [4 * DAY, 0])
    base = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], dtype=np.float32)
    found = timed(lambda asked: base, log, 4, TimedParameters(1.0, 0.5, 1.0))(cases)
    # at day 4: 0 was taken 4 and 2 days ago, 1 one day ago; 2 at that very time and 1 later do not count
    recent = np.array([2.0**-4 + 2.0**-2, 2.0**-1, 0, 0])
    assert found[0] == pytest.approx(base[0] + 0.5 * np.log(recent + 1))
    assert found[1].tolist() == base[1].tolist()
    less = timed(lambda asked: base, log, 4, TimedParameters(1.0, 0.5, 1.0, standing=0.25))(cases)
    assert found[0] - less[0] == pytest.approx(0.25 * np.log([3, 2, 1, 1]))


def test_a_share_of_the_requests_follows_the_crowd(make_cases: MakeCases) -> None:
    """Item 1 was taken a day before the request, item 0 two days before; nobody had taken any at day 0."""
    log = _log([0, 1], [2 * DAY, 3 * DAY])
    cases = make_cases([[3], [3]], [[0], [0]], [4 * DAY, 0])
    odds = np.array([[1, 2, 3, 4], [1, 2, 3, 4]])
    half = TimedParameters(1.0, 0.0, 1.0, share=0.5, temperature=2.0)
    found = timed(lambda asked: 2 * np.log(odds, dtype=np.float32), log, 4, half)(cases)
    assert found[0] == pytest.approx([0.5 * 0.1 + 0.5 / 3, 0.5 * 0.2 + 0.5 * 2 / 3, 0.15, 0.2])
    assert found[1] == pytest.approx([0.05, 0.1, 0.15, 0.2])


EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12)), min_size=1, max_size=25)


@settings(max_examples=60)
@given(
    events=EVENTS, later=EVENTS, request=st.integers(0, 12), others=st.lists(st.integers(0, 12), max_size=3)
)
@example(events=[(0, 0)], later=[], request=2, others=[9])
def test_nothing_at_or_after_the_request_matters(
    events: list[tuple[int, int]], later: list[tuple[int, int]], request: int, others: list[int]
) -> None:
    """Both logs are the same before the request; whatever else is asked in the batch changes nothing."""
    hour = DAY // 24
    past = [(item, hour * time) for item, time in events if time < request]
    future = [(item, hour * (request + time)) for item, time in later]
    asked = np.array([*(hour * other for other in others), hour * request], dtype=np.int64)

    def counts(log: list[tuple[int, int]]) -> RecentCounts:
        ordered = sorted(log, key=lambda event: event[1])
        return RecentCounts(_log([i for i, _ in ordered], [t for _, t in ordered]), 6)

    alone, full = counts(past), counts(past + future)
    slow = np.zeros(6)
    for item, time in past:
        slow[item] += 2.0 ** -((hour * request - time) / (7 * hour))
    assert full.fading(7 * hour, asked)[-1] == pytest.approx(slow, rel=1e-5)
    for read in ("within", "fading"):
        seen = getattr(full, read)(7 * hour, asked)[-1]
        assert seen == pytest.approx(getattr(alone, read)(7 * hour, asked[-1:])[0], rel=1e-6)
    assert full.ever(asked)[-1].tolist() == alone.ever(asked[-1:])[0].tolist()


def _waves(make_cases: MakeCases, make_sequences: MakeSequences) -> Split:
    """Every day another item is taken by all; two users in three know better what they want."""
    rows, times, cases = [], [], []
    for day in range(1, 30):
        for user in range(6):
            rows.append([day % 10, 10 + (day + user) % 10])
            times.append([day * DAY + user * 1000, day * DAY + 600_000_000 + user])
            wanted = day % 10 if user % 3 == 0 else 10 + (day + user) % 10
            cases.append(([20], [wanted], day * DAY + DAY // 2))
    log = make_sequences(rows, times)
    asked = make_cases(*(list(column) for column in zip(*cases, strict=True)))
    return Split("global_time", log, asked, log, asked, log, 0, has_times=True)


def test_tuning_beats_both_parts_and_refuses_an_order(
    make_cases: MakeCases, make_sequences: MakeSequences
) -> None:
    parts = _waves(make_cases, make_sequences)
    rng = np.random.default_rng(0)
    taste = {}
    for row, user in enumerate(parts.validation.user_ids):
        taste[user] = rng.normal(size=21).astype(np.float32)
        target = parts.validation.targets(row)[0]
        taste[user][target] += 4 if target >= 10 else 0

    def scorer(cases: Cases) -> np.ndarray:
        return np.stack([taste[user] for user in cases.user_ids])

    parameters = tune_timed(scorer, parts, 21, criterion="recall_at_1", budget_seconds=60)
    found = {
        name: answer.means()["recall_at_1"]
        for name, answer in evaluate(
            {
                "taste": scorer,
                "clock": recent_popularity(parts.everything, 21, DAY),
                "both": timed(scorer, parts.everything, 21, parameters),
            },
            parts.validation,
            ks=(1,),
        ).items()
    }
    assert found["both"] > max(found["taste"], found["clock"]) + 0.05
    with pytest.raises(DataError, match="only an order"):
        tune_timed(scorer, replace(parts, has_times=False), 21)


def test_tuning_finds_requests_that_follow_the_crowd_whatever_the_taste(
    make_cases: MakeCases, make_sequences: MakeSequences
) -> None:
    """Taste is sure of ten items and knows nothing of the item of the day: what the crowd did can be added to
    its scores or to its probabilities, and only then comes the item of the day second to what is wanted."""
    parts = _waves(make_cases, make_sequences)
    answers = {u: parts.validation.targets(n)[0] for n, u in enumerate(parts.validation.user_ids)}

    def scorer(cases: Cases) -> np.ndarray:
        wanted = np.array([answers[user] for user in cases.user_ids])
        return np.where(np.arange(21) < 10, 0.0, 4.0 + (np.arange(21) == wanted[:, None])).astype(np.float32)

    parameters = tune_timed(scorer, parts, 21, criterion="recall_at_2", budget_seconds=60)
    assert parameters.share > 0
    both = {"both": timed(scorer, parts.everything, 21, parameters)}
    assert evaluate(both, parts.validation, ks=(2,))["both"].means()["recall_at_2"] == 1


def test_a_prior_that_only_harms_gets_no_weight(make_cases: MakeCases, make_sequences: MakeSequences) -> None:
    parts = _waves(make_cases, make_sequences)
    answers = {u: parts.validation.targets(n)[0] for n, u in enumerate(parts.validation.user_ids)}
    parameters = tune_timed(lambda cases: np.eye(21)[[answers[u] for u in cases.user_ids]], parts, 21)
    assert parameters.weight == parameters.share == 0
