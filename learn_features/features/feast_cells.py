"""Cells (contracts.online) to and from Feast's protobuf values.

Vectors are raw float32: protobuf packs a float list as just these bytes behind a short header, so
neither way touches single numbers. Histories are three lists. Views of other teams are msgpack of
{feature: serialised Value}.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache

import msgpack
from feast.protos.feast.types.Value_pb2 import FloatList, Int64List, StringList
from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from learn_features.contracts import names, online, times
from learn_features.contracts.history import HistoryEntry

Values = Mapping[str, ValueProto]

_VECTOR_FEATURES = {
    names.USER_EMBEDDING_PREFIX: names.USER_VECTOR,
    names.ITEM_EMBEDDING_PREFIX: names.ITEM_VECTOR,
    names.ITEM_CONTENT_PREFIX: names.CONTENT_VECTOR,
}


def vector_feature(view: str) -> str | None:
    """The one feature of a vector view; None for other views."""
    for prefix, feature in _VECTOR_FEATURES.items():
        if view.startswith(prefix):
            return feature
    return None


def is_history(view: str) -> bool:
    return view.startswith(names.USER_HISTORY_PREFIX)


def decoder(view: str) -> Callable[[bytes], dict[str, ValueProto]]:
    """The function from a cell's payload to all features of `view`; a tombstone gives null values."""
    feature = vector_feature(view)
    if feature is not None:
        return lambda payload: {feature: decode_vector_value(payload)}
    return decode_history_values if is_history(view) else decode_values


def encode_vector_value(value: ValueProto) -> bytes:
    """Payload of a float-list value; a null value is a tombstone."""
    length = len(value.float_list_val.val)
    if not length:
        return online.TOMBSTONE
    serialised: bytes = value.float_list_val.SerializeToString()
    return serialised[-4 * length :]


def decode_vector_value(payload: bytes) -> ValueProto:
    return ValueProto.FromString(_header(len(payload)) + payload) if payload else ValueProto()


@lru_cache
def _header(size: int) -> bytes:
    """What stands before the numbers in a serialised Value with `size` bytes of floats."""
    value = ValueProto(float_list_val=FloatList(val=[0.0] * (size // 4)))
    serialised: bytes = value.SerializeToString()
    return serialised[:-size]


def decode_history_values(payload: bytes) -> dict[str, ValueProto]:
    entries = online.decode_history(payload)
    return {
        names.HISTORY_TIMESTAMPS: ValueProto(int64_list_val=Int64List(val=[e[0] for e in entries])),
        names.HISTORY_EVENT_IDS: ValueProto(string_list_val=StringList(val=[e[1] for e in entries])),
        names.HISTORY_ITEM_IDS: ValueProto(string_list_val=StringList(val=[e[2] for e in entries])),
    }


def history_entries(values: Values) -> list[HistoryEntry]:
    """Entries of a row of a history view. Raises `ValueError` for lists of different lengths."""
    stamps = values[names.HISTORY_TIMESTAMPS].int64_list_val.val
    event_ids = values[names.HISTORY_EVENT_IDS].string_list_val.val
    item_ids = values[names.HISTORY_ITEM_IDS].string_list_val.val
    return [HistoryEntry(*entry) for entry in zip(stamps, event_ids, item_ids, strict=True)]


def encode_values(values: Values) -> bytes:
    packed: bytes = msgpack.packb({name: value.SerializeToString() for name, value in values.items()})
    return packed


def decode_values(payload: bytes) -> dict[str, ValueProto]:
    return {name: ValueProto.FromString(raw) for name, raw in msgpack.unpackb(payload).items()}


def microseconds(moment: datetime) -> int:
    """µs since the epoch; Feast passes times without a zone as UTC."""
    return int(times.to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC)))
