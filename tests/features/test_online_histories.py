"""A backfill of a log that is behind the online store: what a consumer has written, but not flushed."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import names, online, times
from learn_features.contracts.history import HistoryEntry, HistoryRule
from learn_features.features import roll_out
from learn_features.features.backfill import backfill
from learn_features.features.offline_log import OfflineLog
from learn_features.features.row_store import CellPut, RowStore, RowWrite
from learn_features.features.rows import open_row_store
from learn_features.features.staleness import stale_users
from learn_features.release.deployment import DeploymentStore

RULE = HistoryRule(max_length=3)
HISTORY = names.user_history_view(RULE.id)
ADA = online.entity_key(c.USER_ID, "ada")
ONES = online.encode_vector(np.ones(4, np.float32))


def at(second: int) -> datetime:
    return datetime(2024, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=second)


def us(second: int) -> int:
    return times.to_us(at(second))


def stream(
    rows: RowStore,
    space: str,
    clicks: Sequence[tuple[str, int]],
    known: int,
    vector: bytes = ONES,
    sequence: int = 0,
    **fields: bytes,
) -> None:
    """Ada's row as a user updater writes it at the second `known`: clicks (item, second) and a vector."""
    entries = [HistoryEntry(us(when), f"ada-{item}-{at(when).isoformat()}", item) for item, when in clicks]
    payload = online.encode_history(entries) if entries else online.TOMBSTONE
    [[before]] = rows.read_fields([ADA], [online.AS_OF_FIELD])
    written = {
        online.AS_OF_FIELD: online.encode_time(us(known)),
        HISTORY: online.encode_cell(us(known), payload),
        names.user_embedding_view(space): online.encode_cell(us(known), vector, sequence),
        **fields,
    }
    assert rows.replace_rows([RowWrite(ADA, before, written)]) == [True]


def vector_of(rows: RowStore, space: str) -> NDArray[np.float32] | None:
    [[raw]] = rows.read_fields([ADA], [names.user_embedding_view(space)])
    payload = online.decode_cell(raw or b"").payload
    return None if payload == online.TOMBSTONE else online.decode_vector(payload)


def test_a_click_that_the_log_lacks_makes_the_backfilled_vector_stale(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    content = fill_log(["a", "b"], [("ada", "a", at(1))], {"a": at(5)}).content
    towers = make_towers(history=RULE)
    space, rows = roll_out.begin(config, towers.uri), open_row_store(config)
    stream(rows, space, [("a", 1), ("b", 2)], known=2)
    backfill(config, space)
    vector = vector_of(rows, space)
    np.testing.assert_allclose(vector, towers.item(content["a"]), atol=1e-5, err_msg="newer, without b")
    assert list(stale_users(config, space)) == ["ada"]
    users = rows.read_rows([ADA])
    backfill(config, space)
    assert rows.read_rows([ADA]) == users, "marked once"
    # the log catches up: the next backfill is the repair where nobody consumes
    fill_log(["a", "b"], [("ada", "a", at(1)), ("ada", "b", at(2))], {"a": at(5)})
    backfill(config, space)
    assert list(stale_users(config, space)) == []
    np.testing.assert_allclose(vector_of(rows, space), towers.user([content["a"], content["b"]]), atol=1e-5)


def test_an_item_that_the_log_lacks_makes_the_backfilled_vector_stale(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    fill_log(["a"], [("ada", "a", at(4))])
    towers = make_towers(history=RULE)
    space, rows = roll_out.begin(config, towers.uri), open_row_store(config)
    newer = online.encode_cell(us(3), ONES, sequence=1)
    item = online.entity_key(c.ITEM_ID, "a")
    rows.put_newer([CellPut(item, {names.item_embedding_view(space): newer})])
    backfill(config, space)
    assert list(stale_users(config, space)) == ["ada"], "embedded from the old text, though appended later"


def test_a_forgotten_user_stays_forgotten_before_the_log_says_so(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    fill_log(["a"], [("ada", "a", at(1)), ("bob", "a", at(1))], {"a": at(5)})
    space, rows = roll_out.begin(config, make_towers(history=RULE).uri), open_row_store(config)
    forgotten = {online.FORGOTTEN_FIELD: online.encode_time(us(2))}
    stream(rows, space, [], known=2, vector=online.TOMBSTONE, **forgotten)
    report = backfill(config, space)
    assert report.users == 1
    assert vector_of(rows, space) is None
    offline = OfflineLog(config.offline).embeddings(names.user_embedding_view(space))
    assert offline[c.USER_ID].to_list() == ["bob"]
    assert list(stale_users(config, space)) == []


def test_whoever_is_forgotten_during_a_backfill_is_stale_after_it(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    fill_log(["a"], [("ada", "a", at(1))], {"a": at(5)})
    space, rows = roll_out.begin(config, make_towers(history=RULE).uri), open_row_store(config)
    forgotten = {online.FORGOTTEN_FIELD: online.encode_time(us(2))}

    def forget(done: int, total: int) -> None:
        stream(rows, space, [], known=2, vector=online.TOMBSTONE, **forgotten)

    backfill(config, space, progress=forget)
    assert vector_of(rows, space) is not None, "the item's time lets the row pass"
    assert list(stale_users(config, space)) == ["ada"]


def test_older_entries_that_are_imported_reach_the_vector(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    """The row from the log has the `as_of` of the live vector, which knows only the newest event."""
    content = fill_log(["a", "b"], [("ada", "a", at(1)), ("ada", "b", at(2))], {"b": at(3)}).content
    towers = make_towers(history=RULE)
    space, rows = roll_out.begin(config, towers.uri), open_row_store(config)
    stream(rows, space, [("b", 2)], known=3, sequence=1)
    backfill(config, space)
    np.testing.assert_allclose(vector_of(rows, space), towers.user([content["a"], content["b"]]), atol=1e-5)
    assert list(stale_users(config, space)) == []


def test_content_that_came_by_stream_gives_way_to_a_newer_import(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    content = fill_log(["a", "b", "c"], [("ada", "a", at(1))], {"a": at(5), "b": at(5), "c": at(5)}).content
    space, rows = roll_out.begin(config, make_towers(history=RULE).uri), open_row_store(config)
    encoder = DeploymentStore(config.deployment).read().spaces[space].encoder.id
    view = names.item_content_view(encoder)
    keys = [online.entity_key(c.ITEM_ID, item) for item in "abc"]
    old = online.encode_vector(np.zeros(len(content["a"]), np.float32))
    newer = online.encode_cell(us(9), old, sequence=4)
    rows.put_newer(
        [
            CellPut(keys[0], {view: online.encode_cell(us(2), online.TOMBSTONE, 3)}),
            CellPut(keys[1], {view: newer}),
        ]
    )
    backfill(config, space)
    [[a], [b], [c_]] = rows.read_fields(keys, [view])
    assert online.decode_cell(a or b"").as_of_us == us(5)
    np.testing.assert_array_equal(online.decode_vector(online.decode_cell(a or b"").payload), content["a"])
    assert b == newer, "what was appended later stays"
    assert c_ is None, "the shards have it"


def test_a_vector_made_without_an_item_that_is_there_is_stale(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    fill_log(["a", "b"], [("ada", "a", at(1))])
    space, rows = roll_out.begin(config, make_towers(history=RULE).uri), open_row_store(config)
    backfill(config, space)
    clicks = [("a", 1), ("b", 2), ("unknown", 3)]
    for second, (vector, sequence, stale) in enumerate(
        [
            (ONES, 1, True),
            (ONES, 2, False),
            (ONES, 3, False),
            (ONES, 0, False),
            (online.TOMBSTONE, 0, True),
        ]
    ):
        stream(rows, space, clicks, known=10 + second, vector=vector, sequence=sequence)
        assert list(stale_users(config, space)) == (["ada"] if stale else []), (sequence, vector)
    gone = [online.entity_key(c.ITEM_ID, item) for item in "ab"]
    view = names.item_embedding_view(space)
    rows.put_newer([CellPut(key, {view: online.encode_cell(us(5), online.TOMBSTONE)}) for key in gone])
    assert list(stale_users(config, space)) == [], "no item can be embedded any more"
