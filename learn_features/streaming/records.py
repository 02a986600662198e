"""What is read from the topics, and what it means."""

from typing import NamedTuple

from learn_features.contracts.events import InteractionRecord, ItemRecord, UserRefreshRecord


class Partition(NamedTuple):
    """One partition of one incarnation of a topic."""

    topic: str
    """Contract name, not the cluster's."""
    topic_id: str
    """The cluster's id: a topic that was deleted and created again has another."""
    number: int


class Record(NamedTuple):
    """One record as it lies in the log."""

    partition: Partition
    offset: int
    append_us: int
    """When the broker appended it, µs since the epoch (whole milliseconds)."""
    key: bytes | None
    value: bytes | None

    @property
    def place(self) -> str:
        return f"{self.partition.topic}-{self.partition.number}@{self.offset}"


class InteractionEvent(NamedTuple):
    record: InteractionRecord
    append_us: int


class RefreshEvent(NamedTuple):
    record: UserRefreshRecord
    append_us: int


class ItemEvent(NamedTuple):
    item_id: str
    record: ItemRecord | None
    """None: the item was deleted."""
    append_us: int
    offset: int

    @property
    def revision(self) -> tuple[int, int]:
        return self.append_us, self.offset


Event = InteractionEvent | RefreshEvent | ItemEvent
