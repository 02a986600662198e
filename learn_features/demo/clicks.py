"""Interactions of now, of a kind that the history rule counts."""

import time

from learn_features.contracts import columns as c
from learn_features.contracts.events import InteractionRecord
from learn_features.contracts.history import HistoryRule


def click(rule: HistoryRule, user_id: str, item_id: str, time_us: int | None = None) -> InteractionRecord:
    """An interaction that enters a history under `rule`; at this moment unless `time_us` says otherwise."""
    return InteractionRecord(
        user_id=user_id,
        item_id=item_id,
        event_timestamp=time.time_ns() // 1_000 if time_us is None else time_us,
        event_type=c.DEFAULT_EVENT_TYPE if rule.event_types is None else rule.event_types[0],
        value=rule.min_value,
    )
