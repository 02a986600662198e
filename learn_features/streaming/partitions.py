"""One member of a consumer group: which partitions it owns, where it reads, what it commits.

Assignments take effect in two steps. The rebalance listener (which runs on the client's own thread and
may not block) parks every partition: paused, at a position that is not used. The loop then asks for
`new_assignment`, works out the true positions, and `start`s. So no record is read from a position that
Kafka's committed offset alone would give.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from learn_features.config import KafkaConfig
from learn_features.errors import CheckpointError, ConfigError, StoreUnavailable
from learn_features.streaming import topics
from learn_features.streaming.client import connection, translated
from learn_features.streaming.records import Partition, Record

if TYPE_CHECKING:
    from kafka import TopicPartition

_METADATA_MAX_AGE_MS = 10_000
_CLOSE_MS = 5_000
_HEARTBEATS_A_SESSION = 4
_MAX_POLL_INTERVAL_MS = 600_000
"""A batch that takes longer loses its partitions."""


class Partitions:
    """Membership of `instance` in the group `<group_prefix>-<role>` on contract topics `read`.

    Two running members need different instances; one that is started again under its old name gets its
    partitions back at once. A poll gives at most `max_batch` records, or the settings' where that is less.
    Raises `ConfigError` and `StoreUnavailable` like everything in `client`.
    """

    def __init__(
        self,
        config: KafkaConfig,
        role: str,
        read: Sequence[str],
        instance: str,
        max_batch: int | None = None,
    ) -> None:
        from kafka import KafkaConsumer

        self._config = config
        self._names = {topic: config.topic(topic) for topic in read}
        self._contract = {name: topic for topic, name in self._names.items()}
        self._topic_ids = topics.topic_ids(config, tuple(read))
        self._lock = threading.Lock()
        self._new: list[Partition] | None = None
        session_ms = int(config.session_timeout_seconds * 1000)
        self.group = f"{config.group_prefix}-{role}"
        self.instance = instance
        with translated(config):
            self._client = KafkaConsumer(
                **connection(config),
                group_id=self.group,
                group_instance_id=f"{self.group}-{instance}",
                session_timeout_ms=session_ms,
                heartbeat_interval_ms=session_ms // _HEARTBEATS_A_SESSION,
                enable_auto_commit=False,
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                metadata_max_age_ms=_METADATA_MAX_AGE_MS,
                max_poll_records=min(config.max_batch, max_batch or config.max_batch),
                max_poll_interval_ms=_MAX_POLL_INTERVAL_MS,
                isolation_level="read_committed",
            )
            self._client.subscribe(list(self._contract), listener=_listener(self))

    def poll(self, seconds: float) -> list[Record]:
        """Records in the order of each partition; empty after `seconds`. Keeps the membership alive.

        Raises `CheckpointError` when a position has left the log.
        """
        from kafka import errors as problems

        self._mend_membership()
        try:
            with translated(self._config):
                found = self._client.poll(timeout_ms=int(seconds * 1000))
        except StoreUnavailable as error:
            if isinstance(error.__cause__, problems.FencedInstanceIdError):
                raise self._fenced() from error
            if isinstance(
                error.__cause__, (problems.NoOffsetForPartitionError, problems.OffsetOutOfRangeError)
            ):
                raise CheckpointError(
                    f"group {self.group}: a position has left the log: {error.__cause__}; start again"
                ) from error
            raise
        return [self._record(entry) for entries in found.values() for entry in entries]

    def new_assignment(self) -> list[Partition] | None:
        """The partitions owned now, all paused, if that has changed since the last call, else None."""
        with self._lock:
            new, self._new = self._new, None
        return new

    def refreshed_ids(self) -> bool:
        """Look the topics up again; whether one of them was deleted and created anew."""
        found = topics.topic_ids(self._config, tuple(self._names))
        changed = found != self._topic_ids
        self._topic_ids = found
        return changed

    def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """First offset in the log, and the one after its last, of each partition."""
        places = {self._place(partition): partition for partition in partitions}
        with translated(self._config):
            first = self._client.beginning_offsets(list(places)) if places else {}
            end = self._client.end_offsets(list(places)) if places else {}
        return {partition: (first[place], end[place]) for place, partition in places.items()}

    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, int | None]:
        """The group's committed offsets: up to there, everything is in the offline log."""
        with translated(self._config):
            return {partition: self._client.committed(self._place(partition)) for partition in partitions}

    def start(self, positions: Mapping[Partition, int]) -> None:
        """Read on from these offsets."""
        for partition, offset in positions.items():
            self._client.seek(self._place(partition), offset)
        self.resume()

    def pause(self) -> None:
        self._client.pause(*self._client.assignment())

    def resume(self) -> None:
        self._client.resume(*self._client.assignment())

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        """Commit offsets; False if the group has moved on and this member no longer owns them."""
        from kafka import errors as problems
        from kafka.structs import OffsetAndMetadata

        offsets = {
            self._place(partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in positions.items()
        }
        try:
            with translated(self._config):
                self._client.commit(offsets, timeout_ms=int(self._config.session_timeout_seconds * 1000))
        except Exception as error:
            lost = (
                problems.CommitFailedError,
                problems.RebalanceInProgressError,
                problems.IllegalGenerationError,
                problems.UnknownMemberIdError,
            )
            if isinstance(error.__cause__, lost):
                return False
            if isinstance(error.__cause__, problems.FencedInstanceIdError):
                raise self._fenced() from error
            raise
        return True

    def lag(self) -> dict[Partition, int]:
        """Records not yet read, of partitions about which the broker has told."""
        found = {}
        for place in self._client.assignment():
            high, position = self._client.highwater(place), self._client.position(place, timeout_ms=0)
            if high is not None and position is not None:
                found[self._partition(place)] = max(0, high - position)
        return found

    def close(self) -> None:
        self._client.close(autocommit=False, timeout_ms=_CLOSE_MS)

    def _mend_membership(self) -> None:
        """What kafka-python 3.0.12 does not do about its own membership.

        It forgets a join that a change of metadata began and that outlives one poll: the group takes
        this member for joined, and it never learns its partitions. Asking again mends that. And it goes
        on reading after another process has taken its name, without a heartbeat.
        """
        coordinator = self._client._coordinator
        if coordinator.rejoining:
            coordinator.request_rejoin()
        elif (
            self._client.assignment() and not coordinator._heartbeat_enabled and not coordinator.need_rejoin()
        ):
            raise self._fenced()

    def _fenced(self) -> ConfigError:
        return ConfigError(
            f"another consumer of {self.group} runs as instance {self.instance!r}; "
            "give each its own: --instance NAME"
        )

    def _parked(self, assigned: Sequence["TopicPartition"]) -> None:
        for place in assigned:
            self._client.pause(place)
            self._client.seek(place, 0)
        with self._lock:
            self._new = [self._partition(place) for place in self._client.assignment()]

    def _partition(self, place: "TopicPartition") -> Partition:
        topic = self._contract[place.topic]
        return Partition(topic, self._topic_ids[topic], place.partition)

    def _place(self, partition: Partition) -> "TopicPartition":
        from kafka import TopicPartition

        return TopicPartition(self._names[partition.topic], partition.number)

    def _record(self, entry: Any) -> Record:
        topic = self._contract[entry.topic]
        partition = Partition(topic, self._topic_ids[topic], entry.partition)
        return Record(partition, entry.offset, entry.timestamp * 1000, entry.key, entry.value)


def _listener(owner: Partitions) -> Any:
    """kafka-python's rebalance listener: nothing is flushed or committed on revoke."""
    from kafka import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_revoked(self, revoked: Any) -> None:
            pass

        def on_partitions_assigned(self, assigned: Any) -> None:
            owner._parked(assigned)

    return Listener()
