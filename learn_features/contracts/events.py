"""Records on the topics: JSON objects, schema-versioned, unknown fields ignored (those of an item that
`data.item_attributes` names join its attributes).

| topic          | key       | value                                                              |
|----------------|-----------|--------------------------------------------------------------------|
| items          | `item_id` | `ItemRecord`; an empty value (tombstone) deletes the item          |
| interactions   | `user_id` | `InteractionRecord`                                                |
| user_refresh   | `user_id` | `UserRefreshRecord`: recompute this user, or forget them           |
| exposures      | `user_id` | `ExposureRecord`: which arm a user was shown                       |

Every record may carry `schema_version` ("1" where absent); another major version is a dead letter.
Times are ISO 8601 with a zone, or whole microseconds since the epoch. Ids and texts may be numbers, as in
tables; numbers that are not finite are none. `FieldMapping` renames fields and columns of people who have
topics and tables already.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
)

from learn_features.contracts import columns as c
from learn_features.contracts import identity, names, times
from learn_features.contracts.attributes import list_text, number_text

SCHEMA_MAJOR = 1

FieldMapping = Mapping[str, str]
"""Contract name → name in the user's topic or table; names that agree are left out."""


_EARLIEST_US = -62_135_596_800_000_000  # year 1
_LATEST_US = 253_402_300_799_999_999  # year 9999


def _timestamp_us(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) < times.EARLIEST_PLAUSIBLE_US:
            raise ValueError("whole numbers are microseconds since 1970; this looks like (milli)seconds")
        return _in_range(value)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return _in_range(times.to_us(value))
    raise ValueError("a time is ISO 8601 text with a zone or whole microseconds")


def _in_range(time_us: int) -> int:
    if not _EARLIEST_US <= time_us <= _LATEST_US:
        raise ValueError("the time is before the year 1 or after the year 9999")
    return time_us


def _time_on_the_wire(time_us: int) -> int | str:
    """Microseconds, and text for the times that would be taken for seconds."""
    if abs(time_us) < times.EARLIEST_PLAUSIBLE_US:
        return times.from_us(time_us).isoformat()
    return time_us


def _number_as_text(value: Any) -> Any:
    """A number becomes text, as in tables; anything else is left to the check of the type."""
    if isinstance(value, float):
        return number_text(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _whole_number_as_text(value: Any) -> Any:
    return value if isinstance(value, float) else _number_as_text(value)


def _encodable(value: str) -> str:
    value.encode()  # half of a surrogate pair is a ValueError, too
    return value


def _blank_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


TimestampUs = Annotated[
    int, BeforeValidator(_timestamp_us), PlainSerializer(_time_on_the_wire, when_used="json")
]
Text = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(_encodable)]
Id = Annotated[
    str,
    BeforeValidator(_whole_number_as_text),
    Field(min_length=1, max_length=512),
    AfterValidator(_encodable),
]
Number = Annotated[float | None, AfterValidator(_finite)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Text = str(SCHEMA_MAJOR)

    @field_validator("schema_version", mode="before")
    @classmethod
    def _version_or_default(cls, value: Any) -> Any:
        return str(SCHEMA_MAJOR) if value is None else value

    @field_validator("schema_version")
    @classmethod
    def _known_major(cls, value: str) -> str:
        if value.split(".")[0] != str(SCHEMA_MAJOR):
            raise ValueError(f"schema version {value} is not known; this release reads {SCHEMA_MAJOR}.x")
        return value


class InteractionRecord(_Record):
    """A user did something with an item."""

    user_id: Id
    item_id: Id
    event_timestamp: TimestampUs
    event_id: Annotated[Id | None, BeforeValidator(_blank_is_none)] = None
    event_type: Text = c.DEFAULT_EVENT_TYPE
    value: Number = None

    @field_validator(c.EVENT_TYPE, mode="before")
    @classmethod
    def _type_or_default(cls, value: Any) -> Any:
        return c.DEFAULT_EVENT_TYPE if _blank_is_none(value) is None else value

    @property
    def identified(self) -> str:
        """`event_id`, or the hash that stands for it."""
        return self.event_id or identity.event_id(
            self.user_id, self.item_id, self.event_timestamp, self.event_type
        )


class ItemRecord(_Record):
    """An item's text and attributes; the last one appended per item is in force."""

    item_id: Id
    title: Annotated[Text, Field(min_length=1)]
    category: Text | None = None
    brand: Text | None = None
    price: Number = None
    keywords: Text | None = None
    attributes: Text | None = None
    description: Text | None = None
    updated_at: TimestampUs | None = None

    @field_validator(c.CATEGORY, c.KEYWORDS, c.ATTRIBUTES, mode="before")
    @classmethod
    def _joined(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return list_text(value)
        return value


class RefreshKind(StrEnum):
    REFRESH = "refresh"
    FORGET = "forget"


class UserRefreshRecord(_Record):
    """Recompute a user's vectors from the stored history, or forget the user."""

    user_id: Id
    kind: RefreshKind = RefreshKind.REFRESH


class ExposureRecord(_Record):
    """A user was shown what an arm of an experiment ranked."""

    user_id: Id
    experiment: Text
    arm: Text
    ranker: Text
    event_timestamp: TimestampUs


RECORDS: Mapping[str, type[BaseModel]] = {
    names.TOPIC_ITEMS: ItemRecord,
    names.TOPIC_INTERACTIONS: InteractionRecord,
    names.TOPIC_USER_REFRESH: UserRefreshRecord,
    names.TOPIC_EXPOSURES: ExposureRecord,
}
"""Contract topic → what its records are."""


def too_far_ahead(event_timestamp_us: int, append_time_us: int) -> bool:
    """Whether an event lies further ahead of its own append time than `FUTURE_TOLERANCE`."""
    return event_timestamp_us > append_time_us + times.FUTURE_TOLERANCE_US
