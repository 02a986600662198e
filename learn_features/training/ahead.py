"""The next batch is drawn while the step on this one runs."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(batches: Iterator[T]) -> Generator[T]:
    """The same in the same order, each drawn by another thread before it is asked for."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, batches, end)
        while (batch := following.result()) is not end:
            following = thread.submit(next, batches, end)
            yield batch  # type: ignore[misc]
