"""One step ahead: the next part is made in a thread while the caller uses the last."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(make: Callable[[T], R], parts: Iterable[T]) -> Iterator[R]:
    """`make` of every part, in order."""
    with contextlib.ExitStack() as stack:
        thread = ThreadPoolExecutor(1, "ahead")
        stack.callback(thread.shutdown, wait=True, cancel_futures=True)
        coming: Future[R] | None = None
        for part in parts:
            following = thread.submit(make, part)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()
