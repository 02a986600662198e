"""Records that cannot be used: kept, with reason and origin, in `<topic>.dlq`.

Key and value stay as they came, so that a mended record can be sent again; reason and origin are
headers. At least once: after a crash a record may be there twice, so readers take each origin once.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from learn_features.config import Config
from learn_features.errors import ConfigError
from learn_features.streaming.client import connection, translated
from learn_features.streaming.producers import Producer
from learn_features.streaming.records import Record

REASON, TOPIC, TOPIC_ID, PARTITION, OFFSET, APPEND_TIME = (
    "reason",
    "topic",
    "topic_id",
    "partition",
    "offset",
    "append_time_us",
)
_REASON_BYTES = 2_000


class DeadLetter(NamedTuple):
    """A record that could not be used."""

    reason: str
    topic: str
    """Contract name."""
    topic_id: str
    partition: int
    offset: int
    append_us: int
    key: bytes | None
    value: bytes | None


class DeadLetters:
    """Where a consumer puts what it cannot use; safe only after `flush`."""

    def __init__(self, config: Config, producer: Producer) -> None:
        self._config = config.kafka
        self._producer = producer

    def add(self, record: Record, reason: str) -> None:
        headers = {
            REASON: reason[:_REASON_BYTES],
            TOPIC: record.partition.topic,
            TOPIC_ID: record.partition.topic_id,
            PARTITION: str(record.partition.number),
            OFFSET: str(record.offset),
            APPEND_TIME: str(record.append_us),
        }
        topic = self._config.dead_letter_topic(record.partition.topic)
        self._producer.raw(topic, record.key, record.value, headers)

    def flush(self) -> None:
        self._producer.flush()


def read_dead_letters(config: Config, topic: str) -> Iterator[DeadLetter]:
    """All dead letters of a contract topic up to now, each origin once, in order of arrival."""
    from kafka import KafkaConsumer, TopicPartition

    name = config.kafka.dead_letter_topic(topic)
    with translated(config.kafka):
        client = KafkaConsumer(
            **connection(config.kafka),
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
        )
    try:
        with translated(config.kafka):
            numbers = client.partitions_for_topic(name)
            if not numbers:
                raise ConfigError(f"there is no topic {name}; `learn-features topics create`")
            places = [TopicPartition(name, number) for number in numbers]
            client.assign(places)
            ends = client.end_offsets(places)
        seen: set[tuple[str, int, int]] = set()
        while any(client.position(place) < end for place, end in ends.items()):
            with translated(config.kafka):
                found = client.poll(timeout_ms=1000)
            for entry in (entry for entries in found.values() for entry in entries):
                letter = _letter(entry)
                if letter is not None and (origin := letter[2:5]) not in seen:
                    seen.add(origin)
                    yield letter
    finally:
        client.close()


def _letter(entry: Any) -> DeadLetter | None:
    """The dead letter in a record; None for what somebody else has put there."""
    headers = {name: value.decode(errors="replace") for name, value in entry.headers}
    try:
        return DeadLetter(
            headers[REASON],
            headers[TOPIC],
            headers[TOPIC_ID],
            int(headers[PARTITION]),
            int(headers[OFFSET]),
            int(headers[APPEND_TIME]),
            entry.key,
            entry.value,
        )
    except (KeyError, ValueError):
        return None
