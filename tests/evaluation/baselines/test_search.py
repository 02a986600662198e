"""The coordinate search: finds optima, grows ranges, keeps to its budget."""

import time
from dataclasses import dataclass

import pytest

from learn_features.evaluation.baselines.search import GROWTH_STEPS, Knob, Search


@dataclass(frozen=True)
class Point:
    x: float = 1.0
    y: int = 10


def _search(best_x: float, best_y: int, budget: float = 60) -> Search[Point]:
    return Search[Point](lambda p: -abs(p.x - best_x) - abs(p.y - best_y) / 100, budget)


def test_a_range_grows_at_the_edge_that_wins_and_stops_at_its_bound() -> None:
    search = _search(100, 10)
    search.attempt(Point())
    search.along(Knob("x", (1.0, 2.0, 4.0), low=0.0, high=50.0))
    assert [p.x for p in search.tried] == [1, 2, 4, 8, 16, 32, 50]
    assert search.best == Point(50.0)
    down = _search(0.3, 10)
    down.attempt(Point())
    down.along(Knob("x", (1.0, 2.0), low=0.1, high=9.0))
    assert down.best.x == 0.25
    assert sorted(p.x for p in down.tried) == [0.125, 0.25, 0.5, 1, 2]


def test_a_start_outside_the_values_is_no_edge() -> None:
    search = _search(0.02, 10)
    search.attempt(Point(0.03))
    search.along(Knob("x", (0.25, 0.5, 1.0), low=0.0001, high=9.0))
    assert search.best.x == 0.03
    assert sorted(p.x for p in search.tried) == pytest.approx([0.03**2 / 0.25, 0.03, 0.25, 0.5, 1.0])
    named = Search[Point](lambda p: float(p.y or 0), 60)
    named.attempt(Point(y=None))  # type: ignore[arg-type]
    named.along(Knob("y", (1, 2)))
    assert named.best.y == 2


def test_a_range_without_bounds_or_without_end_does_not_grow_for_ever() -> None:
    closed = _search(100, 10)
    closed.attempt(Point())
    closed.along(Knob("x", (1.0, 2.0)))
    assert len(closed.tried) == 2
    far = _search(1e9, 10)
    far.attempt(Point())
    far.along(Knob("x", (1.0, 2.0), low=0.0, high=1e9))
    assert len(far.tried) == 2 + GROWTH_STEPS


def test_whole_numbers_stay_whole_and_zero_is_followed_arithmetically() -> None:
    search = _search(1, 37)
    search.attempt(Point())
    search.along(Knob("y", (10, 15), low=1, high=99))
    assert all(isinstance(p.y, int) for p in search.tried)
    assert [p.y for p in search.tried] == [10, 15, 22, 32, 46]
    assert search.best.y == 32
    zero = _search(-2, 10)
    zero.attempt(Point())
    zero.along(Knob("x", (0.0, 1.0), low=-9.0, high=9.0))
    assert zero.best.x == -2


def test_later_rounds_try_neighbours_only() -> None:
    search = _search(8, 20)
    search.attempt(Point())
    knobs = (Knob("x", (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)), Knob("y", (10, 20, 40)))
    search.descend(knobs, rounds=3)
    assert search.best == Point(8.0, 20)
    # six values of x at y = 10, three of y, then x = 4 and 16 at y = 20; 10 and 40 at x = 8 are known
    assert len(search.tried) == 6 + 2 + 2


def test_the_first_try_runs_without_a_budget_and_nothing_after_it() -> None:
    search = _search(4, 10, budget=0)
    search.attempt(Point(), Point(2.0))
    search.along(Knob("x", (3.0, 4.0)))
    assert list(search.tried) == [Point()]
    assert search.spent
    assert Search[Point](lambda p: 0.0, 0).spent is False
    slow = Search[Point](lambda p: time.sleep(0.03) or p.x, 0.01)
    slow.attempt(Point(1.0), Point(2.0))
    assert slow.best == Point(1.0)


def test_of_equals_the_first_stays() -> None:
    search = Search[Point](lambda p: 1.0, 60)
    search.attempt(Point(5.0), Point(1.0))
    assert search.best == Point(5.0)
    with pytest.raises(ValueError, match="empty"):
        _ = Search[Point](lambda p: 1.0, 60).best
