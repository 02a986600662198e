"""Splits: hand-worked small logs, and that no cut falls inside a user's ties."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learn_features.contracts import times
from learn_features.contracts.history import HistoryRule
from learn_features.data.item_index import ItemIndex
from learn_features.data.splits import MAX_TARGETS, Split, split
from learn_features.data.tables import Dataset
from learn_features.errors import DataError


def dataset(rows: list[tuple[str, str, int]], has_times: bool = True) -> Dataset:
    """Rows of user, item, second."""
    log = pl.DataFrame(
        {
            "user_id": [user for user, _, _ in rows],
            "item_id": [item for _, item, _ in rows],
            "event_timestamp": [times.from_us(second * 1_000_000) for _, _, second in rows],
            "event_id": [f"{n:04d}" for n in range(len(rows))],
            "event_type": "view",
            "value": pl.Series([None] * len(rows), dtype=pl.Float64),
        },
        schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")},
    )
    items = pl.DataFrame({"item_id": sorted({item for _, item, _ in rows})})
    return Dataset(items, log, has_times)


def divide(data: Dataset, kind: str = "auto", *, repeats: bool = False) -> Split:
    index = ItemIndex(data.items["item_id"])
    return split(data, index, HistoryRule(), kind, repeats=repeats)  # type: ignore[arg-type]


def test_leave_one_out_by_hand() -> None:
    data = dataset(
        [
            *[("a", "i0", 1), ("a", "i1", 2), ("a", "i2", 3), ("a", "i3", 4)],
            *[("b", "i3", 1), ("b", "i0", 2)],
            ("c", "i2", 1),
            *[("d", "i1", 1), ("d", "i0", 2), ("d", "i2", 2), ("d", "i3", 3)],
        ],
        has_times=False,
    )
    parts = divide(data)
    assert parts.kind == "leave_one_out"
    assert parts.test.user_ids == ["a", "b", "d"]
    assert [parts.test.targets(n).tolist() for n in range(3)] == [[3], [0], [3]]
    assert [parts.test.history(n).tolist() for n in range(3)] == [[0, 1, 2], [3], [1, 0, 2]]
    assert parts.validation.user_ids == ["a", "d"]
    assert [parts.validation.targets(n).tolist() for n in range(2)] == [[2], [0, 2]]
    assert [parts.validation.history(n).tolist() for n in range(2)] == [[0, 1], [1]]
    assert parts.train.items.tolist() == [0, 1, 3, 2, 1]
    assert parts.train_and_validation.items.tolist() == [0, 1, 2, 3, 2, 1, 0, 2]
    assert parts.data_cutoff_us == 4_000_000


def test_global_time_by_hand() -> None:
    rows = [("a", f"i{n % 7}", n) for n in range(17)]
    rows += [("b", "i0", 16), ("b", "i1", 17), ("b", "i1", 18), ("b", "i2", 19)]
    rows += [("c", "i5", 18), ("a", "i6", 19)]
    parts = divide(dataset(rows), repeats=True)
    # 23 events; times sorted: 0 … 15, 16, 16, 17, 18, 18, 19, 19; cuts at positions 18 (17) and 20 (18)
    assert parts.kind == "global_time"
    assert parts.validation.user_ids == ["b"]
    assert parts.validation.targets(0).tolist() == [1]
    assert parts.test.user_ids == ["a", "b"]
    assert parts.test.history(1).tolist() == [0, 1]
    assert parts.test.targets(0).tolist() == [6]
    assert parts.test.targets(1).tolist() == [1, 2]
    assert parts.test.request_times_us.tolist() == [19_000_000, 18_000_000]
    assert len(parts.everything.items) == 23
    assert parts.data_cutoff_us == 19_000_000


def test_targets_are_the_next_distinct_items() -> None:
    rows = [("a", "x", n) for n in range(200)]
    rows += [("a", "y", 200), ("a", "y", 201)] + [("a", f"z{n:02d}", 202 + n) for n in range(20)]
    test = divide(dataset(rows), repeats=True).test
    assert len(test.targets(0)) == MAX_TARGETS == len(set(test.targets(0).tolist()))


def test_what_was_taken_before_is_no_target() -> None:
    rows = [("a", "x", 1), ("a", "y", 2), ("a", "z", 3), ("a", "y", 4), ("a", "w", 4)]
    rows += [("b", "x", 1), ("b", "y", 2), ("b", "z", 3), ("b", "x", 4)]
    data = dataset(rows, has_times=False)
    new, all_of_them = divide(data).test, divide(data, repeats=True).test
    assert new.user_ids == ["a"]
    assert new.targets(0).tolist() == [0]
    assert all_of_them.user_ids == ["a", "b"]
    assert [all_of_them.targets(n).tolist() for n in range(2)] == [[2, 0], [1]]


def test_an_order_is_not_split_by_time_and_tiny_logs_are_refused() -> None:
    data = dataset([("a", "i", 1), ("a", "j", 2)], has_times=False)
    with pytest.raises(DataError, match=r"interactions: .* only an order"):
        divide(data, "global_time")
    said = r"interactions: the validation part .*: of 1 users with 2 interactions none .* to the end$"
    with pytest.raises(DataError, match=said):
        divide(data)


ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["i1", "i2", "i3", "i4"]), st.integers(0, 12)),
    min_size=20,
    max_size=60,
)


@settings(max_examples=60)
@given(rows=ROWS, kind=st.sampled_from(["global_time", "leave_one_out"]))
def test_no_cut_inside_ties_and_nothing_leaks(rows: list[tuple[str, str, int]], kind: str) -> None:
    try:
        parts = divide(dataset(rows), kind)
    except DataError:
        return
    for cases in (parts.validation, parts.test):
        starts = cases.history_times_us[cases.history_offsets[1:] - 1]
        assert (starts < cases.request_times_us).all()
        assert (np.diff(cases.target_offsets) > 0).all()
    seen = {(u, t) for u, t in zip(parts.train.users, parts.train.times_us, strict=True)}
    assert len(parts.train.items) <= len(parts.train_and_validation.items) <= len(rows)
    names = np.array(parts.train.user_ids)
    by_name = {(names[u], t) for u, t in seen}
    for row, user in enumerate(parts.validation.user_ids):
        assert (user, parts.validation.request_times_us[row]) not in by_name


def test_select_and_sample_cases() -> None:
    rows = [
        (f"u{n:02d}", f"i{(n * 7 + k) % 31:02d}", n + 50 * k) for n in range(30) for k in range(2 + n % 4)
    ]
    test = divide(dataset(rows, has_times=False)).test
    part = test.select(np.array([5, 2]))
    assert part.user_ids == ["u05", "u02"]
    assert part.history(0).tolist() == test.history(5).tolist()
    assert part.targets(1).tolist() == test.targets(2).tolist()
    sample = test.sample(7)
    assert len(sample) == 7
    assert sample.user_ids == test.sample(7).user_ids == sorted(sample.user_ids)
    assert test.sample(100) is test


def test_ages_say_when_a_case_is_asked_where_cases_are_of_different_times() -> None:
    rows = [
        *[("a", "i0", 10), ("a", "i1", 20), ("a", "i2", 30), ("a", "i3", 40)],
        *[("b", "i3", 50), ("b", "i0", 61), ("b", "i1", 75), ("b", "i2", 99)],
    ]
    parts = divide(dataset(rows), "leave_one_out")
    # until a case is asked: a's test history ends at 30, b's at 75, and so does the log that is fitted on
    assert parts.test.ages_us.tolist() == [45_000_000, 0]
    assert parts.validation.ages_us.tolist() == [41_000_000, 0]
    assert parts.test.select([1, 0]).ages_us.tolist() == [0, 45_000_000]
    assert parts.test.targeting(np.arange(4) == 3).ages_us.tolist() == [45_000_000]
    assert divide(dataset(rows), "global_time").test.ages_us is None
    assert divide(dataset(rows, has_times=False)).test.ages_us is None


def test_a_split_that_asks_nobody_says_what_it_looked_for() -> None:
    again = dataset([("a", item, place) for place, item in enumerate("vwxv")], has_times=False)
    with pytest.raises(
        DataError, match=r"test part .* none has a history before the last moment and in that an"
    ):
        divide(again)
    with pytest.raises(
        DataError, match=r"before the cut and after it an item .* or a longer stretch of time"
    ):
        divide(dataset([("a", f"i{n}", n) for n in range(2)]), "global_time")


def test_a_log_that_ends_in_one_moment_is_told_how_it_can_be_split():
    ties = [("a", "x", 1), ("b", "y", 2), *((user, item, 9) for user in "abc" for item in ("v", "w"))]
    with pytest.raises(DataError, match=r"75% of them have one and the same time.*leave_one_out"):
        divide(dataset(ties), "global_time")
    one_moment = [(user, item, 9) for user in "abc" for item in "vwx"]
    for kind in ("global_time", "leave_one_out"):
        with pytest.raises(DataError, match=r"100% of them have one and the same time.*no cut falls\)$"):
            divide(dataset(one_moment), kind)
