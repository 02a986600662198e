"""Records on the topics: JSON objects, schema-versioned, unknown fields ignored.

| topic          | key       | value                                                              |
|----------------|-----------|--------------------------------------------------------------------|
| items          | `item_id` | `ItemRecord`; an empty value (tombstone) deletes the item          |
| interactions   | `user_id` | `InteractionRecord`                                                |
| user_refresh   | `user_id` | `UserRefreshRecord`: recompute this user, or forget them           |
| exposures      | `user_id` | `ExposureRecord`: which arm a user was shown                       |

Every record may carry `schema_version` ("1" where absent); another major version is a dead letter.
Times are ISO 8601 with a zone, or whole microseconds since the epoch. `FieldMapping` renames fields
and columns of people who have topics and tables already.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from learn_features.contracts import columns as c
from learn_features.contracts import identity, times

SCHEMA_MAJOR = 1

FieldMapping = Mapping[str, str]
"""Contract name → name in the user's topic or table; names that agree are left out."""


def _timestamp_us(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError("a time is ISO 8601 text with a zone or whole microseconds")
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return times.to_us(value)
    raise ValueError("a time is ISO 8601 text with a zone or whole microseconds")


TimestampUs = Annotated[int, BeforeValidator(_timestamp_us)]
Id = Annotated[str, Field(min_length=1, max_length=512)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: str = str(SCHEMA_MAJOR)

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
    event_id: str | None = None
    event_type: str = c.DEFAULT_EVENT_TYPE
    value: float | None = None

    @property
    def identified(self) -> str:
        """`event_id`, or the hash that stands for it."""
        return self.event_id or identity.event_id(
            self.user_id, self.item_id, self.event_timestamp, self.event_type
        )


class ItemRecord(_Record):
    """An item's text and attributes; the last one appended per item is in force."""

    item_id: Id
    title: Annotated[str, Field(min_length=1)]
    category: str | None = None
    brand: str | None = None
    price: float | None = None
    keywords: str | None = None
    attributes: str | None = None
    description: str | None = None
    updated_at: TimestampUs | None = None

    @field_validator(c.CATEGORY, c.KEYWORDS, c.ATTRIBUTES, mode="before")
    @classmethod
    def _joined(cls, value: Any) -> Any:
        return ", ".join(str(part) for part in value) if isinstance(value, list | tuple) else value


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
    experiment: str
    arm: str
    ranker: str
    event_timestamp: TimestampUs


def too_far_ahead(event_timestamp_us: int, append_time_us: int) -> bool:
    """Whether an event lies further ahead of its own append time than `FUTURE_TOLERANCE`."""
    return event_timestamp_us > append_time_us + times.FUTURE_TOLERANCE_US
