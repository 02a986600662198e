"""Dead letters arrive, whatever the record was and however often the broker refused."""

import pytest

from learn_features.contracts import names
from learn_features.errors import StoreUnavailable
from learn_features.streaming.dead_letters import DeadLetters, read_dead_letters
from learn_features.streaming.producers import Producer
from learn_features.streaming.records import Partition, Record

PLACE = Partition(names.TOPIC_INTERACTIONS, "id", 3)


def record(offset, key, value):
    return Record(PLACE, offset, 1_700_000_000_000_000, key, value)


class Unsteady:
    """A producer whose first flush fails, and what was sent before it is lost."""

    def __init__(self):
        self.sent, self.arrived, self.flushes = [], [], 0

    def raw(self, topic, key, value, headers):
        self.sent.append(value)

    def flush(self):
        self.flushes += 1
        lost, self.sent = self.sent, []
        if self.flushes == 1:
            raise StoreUnavailable("not taken")
        self.arrived += lost


def test_what_was_not_taken_is_sent_again_before_the_next_commit(make_world):
    producer = Unsteady()
    letters = DeadLetters(make_world().config, producer)
    letters.add(record(0, b"k", b"a"), "why")
    with pytest.raises(StoreUnavailable):
        letters.flush()
    letters.add(record(1, b"k", b"b"), "why")
    letters.flush()
    assert set(producer.arrived) == {b"a", b"b"}
    producer.arrived.clear()
    letters.flush()
    assert producer.arrived == []


def test_any_record_fits(make_world):
    config = make_world().config
    with Producer(config) as producer:
        letters = DeadLetters(config, producer)
        letters.add(record(0, None, None), "neither key nor value")
        letters.add(record(1, b"k" * 200_000, b"v" * 3_000_000), "\ud800" * 5_000)
        letters.add(record(2, b"k", None), "no value")
        letters.flush()
    nothing, large, deletion = read_dead_letters(config, names.TOPIC_INTERACTIONS)
    assert (nothing.key, nothing.value, nothing.offset) == (None, None, 0)
    assert (len(large.key), len(large.value), large.partition) == (100_000, 900_000, 3)
    assert (deletion.key, deletion.value) == (b"k", None)
