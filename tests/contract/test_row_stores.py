"""One suite over every row store: what `features.row_store.RowStore` promises."""

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from learn_features.contracts.online import (
    decode_time,
    encode_cell,
    encode_time,
    entity_key,
    entity_key_prefix,
)
from learn_features.errors import StoreUnavailable
from learn_features.features.redis_rows import RedisRowStore
from learn_features.features.row_store import CellPut, RowStore, RowWrite
from learn_features.features.sqlite_rows import SqliteRowStore

ADA, BOB = entity_key("user_id", "ada"), entity_key("user_id", "bob*[?")
VIEW, OTHER = "user_embedding__s1", "user_embedding__s2"

Opener = Callable[[], RowStore]


@pytest.fixture(params=["sqlite", "redis"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same store once more, as another process would."""
    opened: list[RowStore] = []
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    project = uuid.uuid4().hex

    def open_one() -> RowStore:
        sqlite = request.param == "sqlite"
        opened.append(SqliteRowStore(tmp_path / "deep" / "o.db") if sqlite else RedisRowStore(url, project))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: Opener) -> RowStore:
    return opener()


def write(expected: int | None, new: int, **fields: bytes | None) -> RowWrite:
    before = None if expected is None else encode_time(expected)
    return RowWrite(ADA, before, {"as_of": encode_time(new), **fields})


def test_rows_and_fields_come_back_in_the_order_asked_for(store: RowStore) -> None:
    binary = bytes(range(256))
    assert store.replace_rows(
        [write(None, 5, a=binary, b=b""), RowWrite(BOB, None, {"as_of": b"\x00x"})]
    ) == [
        True,
        True,
    ]
    missing = entity_key("user_id", "nobody")
    ada = {"as_of": encode_time(5), "a": binary, "b": b""}
    assert store.read_rows([missing, BOB, ADA, BOB]) == [{}, {"as_of": b"\x00x"}, ada, {"as_of": b"\x00x"}]
    assert store.read_fields([BOB, ADA, missing], ["b", "a", "c"]) == [
        [None, None, None],
        [b"", binary, None],
        [None, None, None],
    ]
    assert store.read_rows([]) == []
    assert store.read_fields([ADA], []) == [[]]
    assert store.replace_rows([]) == []
    assert store.put_newer([]) == []


def test_many_rows_in_one_batch(store: RowStore) -> None:
    keys = [entity_key("item_id", f"item-{n}") for n in range(2_500)]
    puts = [CellPut(key, {VIEW: encode_cell(n, b"%d" % n)}) for n, key in enumerate(keys)]
    assert store.put_newer(puts) == [True] * len(keys)
    assert store.read_fields(keys, [VIEW]) == [[encode_cell(n, b"%d" % n)] for n in range(2_500)]
    assert set(store.scan_keys(entity_key_prefix("item_id"))) == set(keys)


def test_replace_needs_the_revision_that_was_read(store: RowStore, opener: Opener) -> None:
    other = opener()
    assert store.replace_rows([write(None, 5, a=b"first")]) == [True]
    assert other.replace_rows([write(None, 6, a=b"blind")]) == [False]
    assert other.replace_rows([write(5, 7, a=b"second", b=b"new")]) == [True]
    assert store.replace_rows([write(5, 8, a=b"zombie")]) == [False]
    assert store.read_rows([ADA]) == [{"as_of": encode_time(7), "a": b"second", "b": b"new"}]
    assert store.replace_rows([write(7, 9, a=None)]) == [True]
    assert store.read_rows([ADA]) == [{"as_of": encode_time(9), "b": b"new"}]


def test_the_same_write_sent_twice_succeeds_twice(store: RowStore) -> None:
    assert store.replace_rows([write(None, 5, a=b"old", b=b"gone")]) == [True]
    again = write(5, 6, a=b"new", b=None)
    assert store.replace_rows([again]) == [True]
    assert store.replace_rows([again]) == [True]
    assert store.replace_rows([write(5, 6, a=b"another", b=None)]) == [False]
    assert store.replace_rows([write(5, 6, a=None)]) == [False]
    assert store.read_rows([ADA]) == [{"as_of": encode_time(6), "a": b"new"}]


def test_one_lost_row_does_not_hold_up_the_batch(store: RowStore) -> None:
    store.replace_rows([write(None, 5)])
    writes = [write(4, 6), RowWrite(BOB, None, {"as_of": encode_time(1)})]
    assert store.replace_rows(writes) == [False, True]


def put(as_of: int, payload: bytes, sequence: int = 0, view: str = VIEW) -> CellPut:
    return CellPut(ADA, {view: encode_cell(as_of, payload, sequence)})


def test_cells_take_strictly_newer_revisions_only(store: RowStore) -> None:
    assert store.put_newer([put(10, b"x"), put(10, b"y"), put(9, b"z", 99)]) == [True, False, False]
    assert store.read_fields([ADA], [VIEW, "as_of"]) == [[encode_cell(10, b"x"), encode_time(10)]]
    assert store.put_newer([put(10, b"y", 1)]) == [True], "a later record of the same millisecond"
    assert store.put_newer([put(-5, b"early", view=OTHER)]) == [True], "each view has its own revision"
    assert store.read_fields([ADA], [OTHER, "as_of"]) == [[encode_cell(-5, b"early"), encode_time(10)]]
    both = CellPut(ADA, {VIEW: encode_cell(9, b"late"), OTHER: encode_cell(11, b"news")})
    assert store.put_newer([both]) == [True]
    assert store.read_fields([ADA], [VIEW, OTHER, "as_of"]) == [
        [encode_cell(10, b"y", 1), encode_cell(11, b"news"), encode_time(11)]
    ]


@pytest.mark.parametrize(
    ("older", "newer"),
    [(-1, 0), (0x7F, 0x80), (0xFF, 0x100), (0xFFFFFFFF, 0x1_0000_0000), (10, 1_700_000_000_000_000)],
)
def test_revisions_compare_as_times(store: RowStore, older: int, newer: int) -> None:
    assert store.put_newer([put(newer, b"new")]) == [True]
    assert store.put_newer([put(older, b"old")]) == [False]
    assert store.put_newer([put(newer, b"again", 0x80), put(newer, b"lower", 0x7F)]) == [True, False]


def test_a_forgotten_row_takes_nothing_older_back(store: RowStore) -> None:
    assert store.replace_rows([write(None, 50, forgotten_at=encode_time(40))]) == [True]
    assert store.put_newer([put(39, b"ghost"), put(40, b"ghost"), put(41, b"later")]) == [False, False, True]
    assert store.read_fields([ADA], [VIEW]) == [[encode_cell(41, b"later")]]


def test_scans_and_drops_stay_inside_the_prefix(store: RowStore) -> None:
    item = entity_key("item_id", "ada")
    cell = encode_cell(1, b"v")
    store.put_newer([CellPut(key, {VIEW: cell, OTHER: cell}) for key in (ADA, BOB, item)])
    users = entity_key_prefix("user_id")
    assert sorted(store.scan_keys(users)) == sorted([ADA, BOB])
    assert list(store.scan_keys(BOB)) == [BOB], "wildcards in a key are plain text"
    assert store.drop_field(users, VIEW) == 2
    assert store.drop_field(users, VIEW) == 0
    assert store.read_fields([ADA, BOB, item], [VIEW, OTHER]) == [[None, cell], [None, cell], [cell, cell]]


def test_fields_are_set_only_if_all_expected_ones_agree(store: RowStore) -> None:
    key = b"checkpoint"
    assert store.compare_and_set_fields(key, {"t/0": None}, {"t/0": b"1"})
    assert not store.compare_and_set_fields(key, {"t/0": None}, {"t/0": b"2"})
    assert not store.compare_and_set_fields(key, {"t/0": b"1", "t/1": b"9"}, {"t/0": b"2"})
    assert not store.compare_and_set_fields(key, {"t/0": b""}, {"t/0": b"2"})
    assert store.compare_and_set_fields(key, {"t/0": b"1", "t/1": None}, {"t/0": b"2", "t/1": b"0"})
    assert store.compare_and_set_fields(key, {"t/0": b"1"}, {"t/0": b"2"}), "the same change sent again"
    assert store.compare_and_set_fields(key, {}, {"filled": b"x"})
    assert store.read_rows([key]) == [{"t/0": b"2", "t/1": b"0", "filled": b"x"}]


def test_no_update_of_several_writers_is_lost(opener: Opener) -> None:
    """Each of four writers adds one 50 times, by compare-and-set, through a store of its own.

    The first time all have read before any of them writes, so three find that they came too late.
    """
    conflicts = 0
    all_have_read = threading.Barrier(4)

    def add() -> None:
        nonlocal conflicts
        store, done = opener(), 0
        while done < 50:
            [row] = store.read_rows([ADA])
            before = row.get("as_of")
            if before is None:
                all_have_read.wait(timeout=60)
            after = encode_time(1 if before is None else decode_time(before) + 1)
            count = b"%d" % (int(row.get("count", b"0")) + 1)
            marked = {"as_of": after, "count": count, "writer": b"%d" % threading.get_ident()}
            if store.replace_rows([RowWrite(ADA, before, marked)])[0]:
                done += 1
            else:
                conflicts += 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    [row] = opener().read_rows([ADA])
    assert row["count"] == b"200"
    assert conflicts >= 3


def test_a_replaced_file_is_opened_again(tmp_path: Path) -> None:
    """A restore, or a file deleted by hand, under a running process."""
    path, other = tmp_path / "o.db", tmp_path / "backup.db"
    for place, value in ((path, b"now"), (other, b"restored")):
        with contextlib.closing(SqliteRowStore(place)) as store:
            store.replace_rows([write(None, 5, a=value)])
    store = SqliteRowStore(path)
    assert store.read_fields([ADA], ["a"]) == [[b"now"]]
    other.replace(path)
    assert store.read_fields([ADA], ["a"]) == [[b"restored"]]
    for file in tmp_path.glob("o.db*"):
        file.unlink()
    assert store.read_rows([ADA]) == [{}]
    assert store.replace_rows([write(None, 6, a=b"new")]) == [True]
    with contextlib.closing(SqliteRowStore(path)) as another:
        assert another.read_fields([ADA], ["a"]) == [[b"new"]]
    store.close()


def test_connections_of_threads_that_ended_are_closed(tmp_path: Path) -> None:
    store = SqliteRowStore(tmp_path / "o.db")
    for _ in range(20):
        thread = threading.Thread(target=store.read_rows, args=([ADA],))
        thread.start()
        thread.join()
    store.read_rows([ADA])
    descriptors = [link.resolve() for link in list(Path("/proc/self/fd").iterdir()) if link.is_symlink()]
    store.close()
    assert descriptors.count(store.path.resolve()) <= 2, "SQLite keeps one for the next connection"


@pytest.mark.parametrize(
    ("setting", "refusing", "code"),
    [("min-replicas-to-write", "1", "NOREPLICAS"), ("maxmemory", "1", "OOM")],
)
def test_a_redis_that_takes_no_writes_is_unavailable(
    redis_url: str, setting: str, refusing: str, code: str
) -> None:
    store, client = RedisRowStore(redis_url, uuid.uuid4().hex), redis.Redis.from_url(redis_url)
    client.config_set(setting, refusing)
    try:
        with pytest.raises(StoreUnavailable, match=code):
            store.replace_rows([write(None, 5, a=b"x")])
    finally:
        client.config_set(setting, "0")
    assert store.replace_rows([write(None, 5, a=b"x")]) == [True]
    client.close()


def test_a_store_out_of_reach_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreUnavailable, match=r"file/o\.db"):
        SqliteRowStore(tmp_path / "file" / "o.db").read_rows([ADA])
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        RedisRowStore("redis://:secret@127.0.0.1:1", "p").read_rows([ADA])
