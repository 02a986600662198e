"""One log, fed whole or in a stream's batches, ends in the same histories: those of a slow oracle."""

import random

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from learn_features.contracts.history import HistoryEntry, HistoryRule
from learn_features.data.histories import ENTRY_SCHEMA, counting, newest_entries

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["u1", "u2", "u3"]),
        st.integers(min_value=0, max_value=6),
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from(["i1", "i2", "i3"]),
        st.sampled_from(["view", "buy", "share"]),
        st.one_of(st.none(), st.sampled_from([0.0, 1.0, 2.5, float("nan"), float("inf")])),
    ),
    max_size=40,
)
RULES = st.builds(
    HistoryRule,
    event_types=st.sampled_from([None, ("buy",), ("buy", "view")]),
    min_value=st.sampled_from([None, 1.0]),
    max_length=st.integers(min_value=1, max_value=6),
)

Event = tuple[str, int, str, str, str, float | None]


def oracle(events: list[Event], rule: HistoryRule) -> dict[str, list[HistoryEntry]]:
    users: dict[str, set[HistoryEntry]] = {}
    for user, time, event_id, item, kind, value in events:
        if rule.counts(kind, value):
            users.setdefault(user, set()).add(HistoryEntry(time, event_id, item))
    return {user: sorted(entries)[-rule.max_length :] for user, entries in users.items()}


def frame(events: list[Event]) -> pl.DataFrame:
    schema = {
        "user_id": pl.String, "event_timestamp": pl.Int64, "event_id": pl.String, "item_id": pl.String,
        "event_type": pl.String, "value": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(events, schema=schema, orient="row")


def as_histories(entries: pl.DataFrame) -> dict[str, list[HistoryEntry]]:
    result: dict[str, list[HistoryEntry]] = {}
    for user, time, event_id, item in entries.iter_rows():
        result.setdefault(user, []).append(HistoryEntry(time, event_id, item))
    return result


@settings(max_examples=150)
@given(events=EVENTS, rule=RULES, seed=st.integers(min_value=0, max_value=10_000))
def test_batch_and_stream_agree_with_the_oracle(events: list[Event], rule: HistoryRule, seed: int) -> None:
    whole = newest_entries(counting(frame(events), rule), rule.max_length)
    chance = random.Random(seed)
    log = events + chance.sample(events, k=len(events) // 2)
    chance.shuffle(log)
    stored = pl.DataFrame(schema=ENTRY_SCHEMA)
    while log:
        size = chance.randint(1, 7)
        batch, log = log[:size], log[size:]
        new = counting(frame(batch), rule).select(*ENTRY_SCHEMA)
        stored = newest_entries(pl.concat([stored, new]), rule.max_length)
    expected = oracle(events, rule)
    assert as_histories(whole) == expected
    assert as_histories(stored) == expected
    assert whole["user_id"].is_sorted()
