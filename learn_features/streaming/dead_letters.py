"""Records that cannot be used: kept, with reason and origin, in `<topic>.dlq`.

Key and value stay as they came, so that a mended record can be sent again; reason and origin are
headers, and so is what could not stay: a key or value too large for a record is cut. At least once:
after a crash a record may be there twice, so readers take each origin once.
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
CUT, NULL = "cut", "null"
"""Headers where key or value are not as they came: cut to a size that brokers take; both null."""

_REASON_CHARACTERS = 2_000
_MOST_KEY_BYTES = 100_000
_MOST_VALUE_BYTES = 900_000  # with the key and the headers still below the usual 1 MiB a record


class _Waiting(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]


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
        self._waiting: list[_Waiting] = []
        self._doubtful = False

    def add(self, record: Record, reason: str) -> None:
        """Send `record`; raises `StoreUnavailable` if it has to be added again."""
        headers = {
            REASON: reason[:_REASON_CHARACTERS],
            TOPIC: record.partition.topic,
            TOPIC_ID: record.partition.topic_id,
            PARTITION: str(record.partition.number),
            OFFSET: str(record.offset),
            APPEND_TIME: str(record.append_us),
        }
        key, value = record.key, record.value
        sizes = {"key": (key, _MOST_KEY_BYTES), "value": (value, _MOST_VALUE_BYTES)}
        cut = [
            f"{name} of {len(raw)} bytes" for name, (raw, most) in sizes.items() if raw and len(raw) > most
        ]
        if cut:
            headers[CUT] = ", ".join(cut)
            key = key and key[:_MOST_KEY_BYTES]
            value = value and value[:_MOST_VALUE_BYTES]
        if key is None and value is None:
            headers[NULL] = "key, value"
            value = b""
        topic = self._config.dead_letter_topic(record.partition.topic)
        letter = _Waiting(topic, key, value, headers)
        self._producer.raw(*letter)
        self._waiting.append(letter)

    def flush(self) -> None:
        """Wait until all are acknowledged. Raises `StoreUnavailable`, and sends them again next time."""
        if self._doubtful:
            for letter in self._waiting:
                self._producer.raw(*letter)
        self._doubtful = True
        self._producer.flush()
        self._doubtful = False
        self._waiting.clear()


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
            None if NULL in headers else entry.value,
        )
    except (KeyError, ValueError):
        return None
