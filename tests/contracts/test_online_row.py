"""The online row, byte for byte."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from learn_features.contracts import online
from learn_features.contracts.history import HistoryEntry

TIMES = st.integers(min_value=-(2**62), max_value=2**62)


@given(TIMES, TIMES)
def test_times_compare_as_bytes(left: int, right: int) -> None:
    assert (online.encode_time(left) < online.encode_time(right)) == (left < right)
    assert online.decode_time(online.encode_time(left)) == left


@given(TIMES, st.integers(0, 2**63), TIMES, st.integers(0, 2**63))
def test_revisions_compare_by_time_then_sequence(t1: int, s1: int, t2: int, s2: int) -> None:
    one, two = online.encode_cell(t1, b"x", s1), online.encode_cell(t2, b"", s2)
    width = online.REVISION_BYTES
    assert (one[:width] < two[:width]) == ((t1, s1) < (t2, s2))


def test_a_cell_by_hand() -> None:
    raw = online.encode_cell(1, b"ab", sequence=2)
    assert raw == bytes.fromhex("80000000000000010000000000000002") + b"ab"
    assert online.decode_cell(raw) == (1, 2, b"ab")


def test_vector_is_little_endian_float32() -> None:
    raw = online.encode_vector(np.array([1.0, -2.0], dtype=np.float64))
    assert raw == bytes.fromhex("0000803f000000c0")
    assert online.decode_vector(raw).tolist() == [1.0, -2.0]


def test_history_round_trip() -> None:
    entries = [HistoryEntry(1, "e1", "i1"), HistoryEntry(2, "é", "i2")]
    assert online.decode_history(online.encode_history(entries)) == entries
    assert online.decode_history(online.encode_history([])) == []
    assert online.decode_history(online.TOMBSTONE) == []


@given(st.text(min_size=1, max_size=40))
def test_entity_key_round_trip(value: str) -> None:
    key = online.entity_key("user_id", value)
    assert online.entity_value(key) == value
    assert key.startswith(online.entity_key_prefix("user_id"))


def test_entity_key_is_feasts() -> None:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    proto = EntityKey(join_keys=["item_id"], entity_values=[Value(string_val="Ä-1")])
    assert serialize_entity_key(proto, 3) == online.entity_key("item_id", "Ä-1")
