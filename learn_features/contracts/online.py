"""The online row, byte for byte, the same in every online store.

A **row** is one entity: a Redis hash, or all SQLite rows with one key. Its fields are
  `as_of`            8 bytes: the row's revision, compare-and-set by whoever rewrites the row
  `forgotten_at`     8 bytes, user rows only: whatever was appended before is not taken in
  `<feature view>`   a cell: 8 bytes as_of + 8 bytes sequence + payload
Numbers are unsigned big-endian; times are µs since the epoch + 2^63, so that bytes compare as times.
The sequence (a record's offset; 0 from files) orders records appended in the same millisecond. Of a user
vector it says how many entries of the history were embedded; 0 from files: not recorded.
Payloads: vectors are float32 little-endian; histories are msgpack of three parallel lists; views of
other teams are Feast values (see features.feast_cells). An empty payload is a tombstone.

The **checkpoint** is one more row with key `CHECKPOINT_KEY`: a field per (topic id, partition), and
`FILLED_FIELD` once a backfill or `init` has declared the store filled.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from learn_features.contracts.history import HistoryEntry

AS_OF_FIELD = "as_of"
FORGOTTEN_FIELD = "forgotten_at"
CHECKPOINT_KEY = b"checkpoint"
FILLED_FIELD = "filled"

REVISION_BYTES = 16
TOMBSTONE = b""

_OFFSET = 1 << 63
_STRING_TYPE = 2  # feast ValueType.STRING


class Cell(NamedTuple):
    """One feature view's value in a row."""

    as_of_us: int
    sequence: int
    payload: bytes


def encode_time(microseconds: int) -> bytes:
    """8 bytes that compare as the times they stand for."""
    return struct.pack(">Q", microseconds + _OFFSET)


def decode_time(raw: bytes) -> int:
    return int(struct.unpack(">Q", raw)[0]) - _OFFSET


def encode_cell(as_of_us: int, payload: bytes, sequence: int = 0) -> bytes:
    return struct.pack(">QQ", as_of_us + _OFFSET, sequence) + payload


def decode_cell(raw: bytes) -> Cell:
    as_of, sequence = struct.unpack_from(">QQ", raw)
    return Cell(as_of - _OFFSET, sequence, raw[REVISION_BYTES:])


def encode_vector(vector: NDArray[np.float32]) -> bytes:
    """Payload of a vector of shape (D,)."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def decode_vector(payload: bytes) -> NDArray[np.float32]:
    """The float32 vector of shape (D,); read-only."""
    return np.frombuffer(payload, dtype="<f4")


def encode_history(entries: Sequence[HistoryEntry]) -> bytes:
    """Payload of a history, oldest entry first."""
    times, event_ids, item_ids = zip(*entries, strict=True) if entries else ((), (), ())
    packed: bytes = msgpack.packb((times, event_ids, item_ids))
    return packed


def decode_history(payload: bytes) -> list[HistoryEntry]:
    if payload == TOMBSTONE:
        return []
    return [HistoryEntry(*entry) for entry in zip(*msgpack.unpackb(payload), strict=True)]


def entity_key(join_key: str, value: str) -> bytes:
    """Feast's entity key (serialisation version 3) of one string join key, without importing Feast."""
    name, text = join_key.encode(), value.encode()
    return b"".join(
        (
            struct.pack("<III", 1, _STRING_TYPE, len(name)),
            name,
            struct.pack("<II", _STRING_TYPE, len(text)),
            text,
        )
    )


def entity_key_prefix(join_key: str) -> bytes:
    """What all keys of one entity begin with; for scans."""
    name = join_key.encode()
    return struct.pack("<III", 1, _STRING_TYPE, len(name)) + name


def entity_value(key: bytes) -> str:
    """The id in an `entity_key`."""
    start = 12 + struct.unpack_from("<I", key, 8)[0] + 8
    return key[start:].decode()


class PartitionCheckpoint(BaseModel):
    """Up to where one partition's records are in the online rows (JSON in the checkpoint row)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str
    topic_id: str
    partition: int
    next_offset: int
    document_version: int

    @property
    def field(self) -> str:
        return checkpoint_field(self.topic_id, self.partition)


def checkpoint_field(topic_id: str, partition: int) -> str:
    return f"{topic_id}/{partition}"
