"""Items and tokens a second of a run, for its progress bar or its log."""

import time
from collections.abc import Callable


class Speed:
    """Rates since the start."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._tokens = 0

    def tokens(self, count: int) -> None:
        """So many tokens were encoded by now."""
        self._tokens = count

    def items(self, done: int) -> str:
        """`31 items/s  3,890 tokens/s`, with `done` items so far."""
        seconds = max(self._clock() - self._started, 1e-3)
        items = f"{done / seconds:,.0f} items/s"
        return f"{items}  {self._tokens / seconds:,.0f} tokens/s" if self._tokens else items


class Every:
    """True when called for the first time after every so many seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock, self._last = seconds, clock, clock()

    def __call__(self) -> bool:
        due = self._clock() - self._last >= self._seconds
        if due:
            self._last = self._clock()
        return due
