"""Up to where the online rows are, per partition; where a consumer starts; whether the store was lost.

The checkpoint lies beside the rows it speaks of and is written after them. A store that was lost or
restored shows an older one than this process has seen, and then nothing more is written: otherwise good
vectors would be replaced by ones of a one-event history.
"""

from collections.abc import Mapping, Sequence

from learn_features.contracts.online import (
    CHECKPOINT_KEY,
    FILLED_FIELD,
    PartitionCheckpoint,
    checkpoint_field,
)
from learn_features.errors import CheckpointError, LearnFeaturesError
from learn_features.features.row_store import RowStore
from learn_features.streaming.records import Partition

_ATTEMPTS = 5


class StartAgain(LearnFeaturesError):
    """The store is not as this member left it: drop everything and start from the checkpoint again."""


class Checkpoints:
    """Checkpoints of the partitions owned by one member."""

    def __init__(self, store: RowStore) -> None:
        self._store = store
        self._seen: dict[Partition, bytes | None] = {}
        self._filled: bytes | None = None

    def load(self, owned: Sequence[Partition]) -> dict[Partition, PartitionCheckpoint | None]:
        """Read the checkpoints of `owned` and hold the store to them from now on.

        Raises `CheckpointError` if the store was never filled, or knows another topic of that name.
        """
        row = self._store.read_rows([CHECKPOINT_KEY])[0]
        if not row:
            raise CheckpointError(
                "the online store has no checkpoint: nothing filled yet or lost: `learn-features backfill` "
                "fills it from the offline log, `learn-features init` says that the system starts empty"
            )
        known = [PartitionCheckpoint.model_validate_json(raw) for f, raw in row.items() if f != FILLED_FIELD]
        ids = {partition.topic: partition.topic_id for partition in owned}
        for checkpoint in known:
            if checkpoint.topic_id != ids.get(checkpoint.topic, checkpoint.topic_id):
                raise CheckpointError(
                    f"topic {checkpoint.topic} was deleted and created anew: the online store is at offset "
                    f"{checkpoint.next_offset} of {checkpoint.topic_id}, the cluster has "
                    f"{ids[checkpoint.topic]}; if that is meant: `learn-features topics adopt`"
                )
        self._filled = row.get(FILLED_FIELD)
        self._seen = {partition: row.get(_field(partition)) for partition in owned}
        return {partition: _parsed(raw) for partition, raw in self._seen.items()}

    def verify(self, row: Mapping[str, bytes]) -> None:
        """Hold a checkpoint row, read together with the rows of a batch, against what was seen.

        Raises `StartAgain` if it went back, or on under another writer.
        """
        if self._filled is not None and FILLED_FIELD not in row:
            raise StartAgain("the online store lost its checkpoint")
        for partition, seen in self._seen.items():
            if row.get(_field(partition)) != seen:
                raise StartAgain(
                    f"the checkpoint of {partition.topic}-{partition.number} is not the one seen last: the "
                    "store was lost or restored, or another consumer has written"
                )

    def save(self, next_offsets: Mapping[Partition, int], document_version: int) -> None:
        """Move the checkpoints on, never back; compare-and-set against those seen. Raises `StartAgain`."""
        new: dict[Partition, bytes] = {}
        for partition, offset in next_offsets.items():
            before = _parsed(self._seen[partition])
            raw = PartitionCheckpoint(
                topic=partition.topic,
                topic_id=partition.topic_id,
                partition=partition.number,
                next_offset=max(offset, before.next_offset if before else 0),
                document_version=max(document_version, before.document_version if before else 0),
            )
            new[partition] = raw.model_dump_json().encode()
        changed = {partition: raw for partition, raw in new.items() if raw != self._seen[partition]}
        if not changed:
            return
        for _ in range(_ATTEMPTS):
            expected = {FILLED_FIELD: self._filled}
            expected |= {_field(partition): self._seen[partition] for partition in changed}
            fields = {_field(partition): raw for partition, raw in changed.items()}
            if self._store.compare_and_set_fields(CHECKPOINT_KEY, expected, fields):
                self._seen |= changed
                return
            row = self._store.read_rows([CHECKPOINT_KEY])[0]
            self.verify(row)
            self._filled = row.get(FILLED_FIELD)  # a backfill has marked the store meanwhile
        raise StartAgain("the checkpoint row keeps changing under this consumer")

    def mark_filled(self, marker: bytes) -> None:
        """Declare the store filled (a system that starts empty says so once)."""
        row = self._store.read_rows([CHECKPOINT_KEY])[0]
        if FILLED_FIELD not in row:
            self._store.compare_and_set_fields(CHECKPOINT_KEY, {FILLED_FIELD: None}, {FILLED_FIELD: marker})

    def adopt(self, topic_ids: Mapping[str, str], lost: bool = False) -> list[str]:
        """Forget checkpoints of topics that were created anew, with `lost` all of the topics.

        Their partitions are read from the log's start. Returns `topic-partition` of each that went.
        """
        gone = []
        for field, raw in self._store.read_rows([CHECKPOINT_KEY])[0].items():
            if field == FILLED_FIELD:
                continue
            checkpoint = PartitionCheckpoint.model_validate_json(raw)
            if checkpoint.topic in topic_ids and (lost or checkpoint.topic_id != topic_ids[checkpoint.topic]):
                self._store.drop_field(CHECKPOINT_KEY, field)
                gone.append(f"{checkpoint.topic}-{checkpoint.partition}")
        return gone


def start_positions(
    checkpoints: Mapping[Partition, PartitionCheckpoint | None],
    committed: Mapping[Partition, int | None],
    bounds: Mapping[Partition, tuple[int, int]],
) -> dict[Partition, int]:
    """Where to read on: the lower of checkpoint (online rows) and commit (offline log), each partition.

    Where either is missing: the log's start. Raises `CheckpointError` if a position is not in the log.
    """
    positions = {}
    for partition, checkpoint in checkpoints.items():
        first, end = bounds[partition]
        commit = committed[partition]
        if checkpoint is None:
            positions[partition] = first
            continue
        place = f"{partition.topic}-{partition.number}"
        for owner, offset in (("the online store", checkpoint.next_offset), ("the group", commit)):
            if offset is not None and offset < first:
                raise CheckpointError(
                    f"{place}: {owner} is at offset {offset}, but the log starts at {first}: records were "
                    "deleted before they were read; bring them into the offline log, then "
                    "`learn-features backfill` and `learn-features topics adopt --lost`"
                )
            if offset is not None and offset > end:
                raise CheckpointError(
                    f"{place}: {owner} is at offset {offset}, but the log ends at {end}: "
                    "it was cut or belongs to another cluster; see kafka.bootstrap_servers"
                )
        positions[partition] = first if commit is None else min(commit, checkpoint.next_offset)
    return positions


def _field(partition: Partition) -> str:
    return checkpoint_field(partition.topic_id, partition.number)


def _parsed(raw: bytes | None) -> PartitionCheckpoint | None:
    return None if raw is None else PartitionCheckpoint.model_validate_json(raw)
