"""Records of the topics."""

import json

import pytest
from pydantic import ValidationError

from learn_features.contracts import identity, times
from learn_features.contracts.events import InteractionRecord, ItemRecord, UserRefreshRecord, too_far_ahead

MINIMAL = {"user_id": "u", "item_id": "i", "event_timestamp": "2024-05-01T12:00:00+02:00"}
NOON_US = 1_714_557_600_000_000


def test_interaction_from_text_and_from_microseconds_is_the_same() -> None:
    one = InteractionRecord.model_validate_json(json.dumps(MINIMAL))
    two = InteractionRecord.model_validate_json(json.dumps({**MINIMAL, "event_timestamp": NOON_US}))
    assert one == two
    assert one.event_timestamp == NOON_US


def test_event_id_is_the_given_one_or_the_hash() -> None:
    assert InteractionRecord(**MINIMAL, event_id="e").identified == "e"
    expected = identity.event_id("u", "i", NOON_US, "interaction")
    assert InteractionRecord(**MINIMAL).identified == expected


def test_unknown_fields_are_ignored_and_unknown_major_versions_refused() -> None:
    assert InteractionRecord(**MINIMAL, schema_version="1.7", novelty=1).user_id == "u"
    with pytest.raises(ValidationError, match="schema version 2"):
        InteractionRecord(**MINIMAL, schema_version="2.0")


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": ""},
        {"item_id": None},
        {"event_timestamp": "2024-05-01T12:00:00"},
        {"event_timestamp": True},
        {"event_timestamp": "noon"},
        {"value": "much"},
    ],
)
def test_bad_interactions_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        InteractionRecord.model_validate({**MINIMAL, **change})


def test_lists_in_items_become_text() -> None:
    assert ItemRecord(item_id="i", title="t", keywords=["a", "b"]).keywords == "a, b"


def test_early_times_survive_the_wire() -> None:
    record = ItemRecord(item_id="i", title="t", updated_at="1970-01-01T00:00:00Z")
    assert record.updated_at == 0
    assert ItemRecord.model_validate_json(record.model_dump_json()) == record
    assert json.loads(InteractionRecord(**MINIMAL).model_dump_json())["event_timestamp"] == NOON_US


def test_items_need_a_title() -> None:
    with pytest.raises(ValidationError):
        ItemRecord(item_id="i", title="")


def test_refresh_kinds() -> None:
    assert UserRefreshRecord(user_id="u").kind == "refresh"
    with pytest.raises(ValidationError):
        UserRefreshRecord(user_id="u", kind="erase")


def test_future_tolerance_is_five_minutes_of_append_time() -> None:
    assert times.FUTURE_TOLERANCE_US == 300_000_000
    assert not too_far_ahead(1_300_000_000, 1_000_000_000)
    assert too_far_ahead(1_300_000_001, 1_000_000_000)
