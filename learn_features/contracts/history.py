"""The rule that says what enters a user's history, and one entry of it."""

import math
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from learn_features.contracts import identity


class HistoryEntry(NamedTuple):
    """One interaction in a history. The tuple order is the order of a history."""

    event_timestamp_us: int
    event_id: str
    item_id: str


class HistoryRule(BaseModel):
    """Which interactions count and how many are kept; part of the embedding space.

    A history is the newest `max_length` entries, in the order of `HistoryEntry`, of the *set union*
    of all entries that count: late, repeated and replayed events end in the same state.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    event_types: tuple[str, ...] | None = None
    """Event types that count; None: all."""
    min_value: float | None = None
    """Least `value` that counts; None: any. With a threshold, an event without value does not count."""
    max_length: int = Field(default=50, ge=1, le=4096)

    @property
    def id(self) -> str:
        return identity.rule_id(self.model_dump(mode="json"))

    def counts(self, event_type: str, value: float | None) -> bool:
        """Whether an interaction of this type and value enters a history."""
        if self.event_types is not None and event_type not in self.event_types:
            return False
        return self.min_value is None or (
            value is not None and math.isfinite(value) and value >= self.min_value
        )
