"""Search for parameters: one knob after the other, each kept at its best, within a budget of seconds.

The range of a knob grows while its best value lies at an edge, so that no optimum is cut off by a grid.
"""

import bisect
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

GROWTH_STEPS = 6
"""A range grows by at most this many values at each end."""


@dataclass(frozen=True)
class Knob:
    """A field of a parameters dataclass and the values to try, ascending.

    Beyond its ends a range goes on geometrically (arithmetically from 0) within `low` and `high`;
    without both bounds it does not grow.
    """

    name: str
    values: tuple[Any, ...]
    low: float | None = None
    high: float | None = None

    def beyond(self, value: Any, inner: Any) -> Any:
        """The value past the edge `value`, whose neighbour inside is `inner`; None at a bound."""
        if self.low is None or self.high is None:
            return None
        further = value * value / inner if value and inner else 2 * value - inner
        further = type(value)(min(max(further, self.low), self.high))
        return None if further == value else further


P = TypeVar("P", bound=Hashable)


class Tries(Generic[P]):
    """Parameters, what they came to, and the seconds left for more."""

    def __init__(self, budget_seconds: float) -> None:
        self.tried: dict[P, float] = {}
        self.cut = False
        """Whether a try itself ended by the clock."""
        self._deadline = time.monotonic() + budget_seconds

    def record(self, parameters: P, value: float) -> None:
        """What a try came to."""
        self.tried[parameters] = value

    @property
    def best(self) -> P:
        """Of all tried; the first of equals. `ValueError` before the first try."""
        return max(self.tried, key=lambda parameters: self.tried[parameters])

    @property
    def value(self) -> float:
        return self.tried[self.best]

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    @property
    def spent(self) -> bool:
        return bool(self.tried) and self.seconds_left == 0


class Search(Tries[P]):
    """Tries parameters on its own. The first try always runs, whatever the budget."""

    def __init__(self, value_of: Callable[[P], float], budget_seconds: float) -> None:
        super().__init__(budget_seconds)
        self._value_of = value_of
        self._ranges: dict[str, list[Any]] = {}

    def attempt(self, *candidates: P) -> None:
        """Try what has not been tried, until the budget is spent."""
        for parameters in candidates:
            if self.spent:
                return
            if parameters not in self.tried:
                self.record(parameters, self._value_of(parameters))

    def along(self, knob: Knob) -> None:
        """Try values of `knob` with everything else at its best, and beyond an edge that wins.

        The first time all values, later the neighbours of the best one. A number that the search began with
        joins the values, so that neither end of them cuts off what lies around it.
        """
        centre: Any = self.best
        again = knob.name in self._ranges
        values = self._ranges.setdefault(knob.name, list(knob.values))
        begun = getattr(centre, knob.name)
        if not again and isinstance(begun, int | float) and begun not in values:
            bisect.insort(values, begun)
        if again and begun in values:
            at = values.index(begun)
            near = values[max(0, at - 1) : at + 2]
        else:
            near = values
        self.attempt(*(replace(centre, **{knob.name: value}) for value in near))
        for _ in range(GROWTH_STEPS):
            at = getattr(self.best, knob.name)
            if self.spent or len(values) < 2 or at not in (values[0], values[-1]):
                return
            upward = at == values[-1]
            further = knob.beyond(at, values[-2] if upward else values[1])
            if further is None:
                return
            values.insert(len(values) if upward else 0, further)
            self.attempt(replace(centre, **{knob.name: further}))

    def descend(self, knobs: Sequence[Knob], rounds: int = 1) -> None:
        """`along` every knob in turn; ends early when a round changes nothing."""
        for _ in range(rounds):
            before = self.best
            for knob in knobs:
                self.along(knob)
            if self.best == before:
                return
