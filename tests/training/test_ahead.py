"""Batches drawn ahead are the same batches."""

import threading

import pytest

from learn_features.training.ahead import ahead


def test_order_and_end_are_those_of_the_batches():
    assert list(ahead(iter(range(5)))) == list(range(5))
    assert list(ahead(iter([]))) == []


def test_the_next_batch_is_drawn_while_this_one_is_used():
    drawn = threading.Event()

    def batches():
        yield 0
        drawn.set()
        yield 1

    for batch in ahead(batches()):
        assert batch or drawn.wait(timeout=30)


def test_what_a_draw_raises_comes_at_its_place():
    def batches():
        yield 0
        raise ValueError("no second one")

    following = ahead(batches())
    assert next(following) == 0
    with pytest.raises(ValueError, match="no second one"):
        next(following)


def test_whoever_stops_early_leaves_no_thread():
    before = threading.active_count()
    following = ahead(iter(range(5)))
    assert next(following) == 0
    following.close()
    assert threading.active_count() == before
