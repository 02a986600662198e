"""What must be true after all records of the topics? Worked out slowly, one record and one user at a time.

Independent of the code under test: imports only the formats. Nothing here is incremental, batched or
clever; it reads the whole of every topic and says what the state must be.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from learn_features.contracts import events, names
from learn_features.contracts.events import InteractionRecord, ItemRecord, UserRefreshRecord
from learn_features.contracts.history import HistoryEntry, HistoryRule


class LogRecord(NamedTuple):
    """A record as it lies in a topic (contract name)."""

    topic: str
    partition: int
    offset: int
    append_us: int
    key: bytes | None
    value: bytes | None


@dataclass
class Expected:
    """The state that the whole log stands for."""

    histories: dict[str, list[HistoryEntry]] = field(default_factory=dict)
    event_ids: set[str] = field(default_factory=set)
    items: dict[str, ItemRecord | None] = field(default_factory=dict)
    """The last record of each item; None: deleted."""
    item_times: dict[str, tuple[int, int]] = field(default_factory=dict)
    dead: set[tuple[str, int, int]] = field(default_factory=set)
    """(topic, partition, offset) of records that nobody can use."""


def expected(records: Iterable[LogRecord], rule: HistoryRule) -> Expected:
    """The state after all of `records`, which start from nothing."""
    state = Expected()
    forgotten: dict[str, int] = {}
    interactions: list[tuple[InteractionRecord, int]] = []
    for record in records:
        place = (record.topic, record.partition, record.offset)
        try:
            body = json.loads(record.value) if record.value else None
            if record.topic == names.TOPIC_ITEMS:
                item = None if body is None else ItemRecord.model_validate(body)
                item_id = record.key.decode() if item is None else item.item_id
                if (record.append_us, record.offset) >= state.item_times.get(item_id, (0, -1)):
                    state.items[item_id] = item
                    state.item_times[item_id] = (record.append_us, record.offset)
            elif record.topic == names.TOPIC_INTERACTIONS:
                interaction = InteractionRecord.model_validate(body)
                if events.too_far_ahead(interaction.event_timestamp, record.append_us):
                    raise ValueError("ahead of its time")
                interactions.append((interaction, record.append_us))
            else:
                refresh = UserRefreshRecord.model_validate(body)
                if refresh.kind == "forget":
                    forgotten[refresh.user_id] = max(forgotten.get(refresh.user_id, 0), record.append_us)
        except ValueError:
            state.dead.add(place)
    for interaction, append_us in interactions:
        if append_us <= forgotten.get(interaction.user_id, 0):
            continue
        state.event_ids.add(interaction.identified)
        if not rule.counts(interaction.event_type, interaction.value):
            continue
        entry = HistoryEntry(interaction.event_timestamp, interaction.identified, interaction.item_id)
        history = state.histories.setdefault(interaction.user_id, [])
        if entry not in history:
            history.append(entry)
    for user, history in state.histories.items():
        state.histories[user] = sorted(history)[-rule.max_length :]
    return state


def user_vectors(
    histories: Mapping[str, Sequence[HistoryEntry]],
    known: Callable[[str], bool],
    embed: Callable[[list[str], list[float]], bytes],
) -> dict[str, bytes | None]:
    """Each user's vector, one user at a time; None where no item of the history is known.

    `embed`: item ids, oldest first, and seconds since the item before (-1 for the first) → float32 bytes.
    """
    vectors = {}
    for user, history in histories.items():
        entries = [entry for entry in history if known(entry.item_id)]
        gaps = [-1.0]
        for before, after in pairwise(entries):
            gaps.append((after.event_timestamp_us - before.event_timestamp_us) / 1_000_000)
        vectors[user] = embed([entry.item_id for entry in entries], gaps) if entries else None
    return vectors
