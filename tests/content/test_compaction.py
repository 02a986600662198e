"""Many shards become few: the same vectors, readers and writers go on, what is replaced is deleted later."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from learn_features.content.compaction import compact
from learn_features.content.shards import Shards
from learn_features.content.store import ContentStore, content_hash, key_table, vector_table


def _fill(folder: Path, rounds: int = 6) -> dict[str, float]:
    """Items whose texts change from round to round; what holds in the end."""
    store, holds = ContentStore(str(folder), "e1"), {}
    for round_ in range(rounds):
        names = [f"i{n}" for n in range(round_, round_ + 5)]
        values = [round_ * 10.0 + n for n in range(5)]
        _put(store, names, values)
        holds |= dict(zip(names, values, strict=True))
    return holds


def _put(store: ContentStore, names: list[str], values: list[float]) -> None:
    vectors = np.repeat(np.array(values, np.float16)[:, None], 4, axis=1)
    store.put(names, [content_hash(str(value)) for value in values], vectors)


def _check(store: ContentStore, holds: dict[str, float]) -> None:
    vectors, found = store.lookup(list(holds))
    assert found.all()
    np.testing.assert_array_equal(vectors[:, 0], np.array(list(holds.values()), np.float16))


def test_the_same_vectors_in_fewer_shards(tmp_path: Path) -> None:
    holds = _fill(tmp_path)
    report = compact(ContentStore(str(tmp_path), "e1"), shard_bytes=40)
    assert report.shards_before == 12
    assert report.vectors == len(holds) == 10
    assert report.dropped == 20  # of texts that no item has any more
    assert report.shards_after == 3  # five vectors of 8 bytes in one
    store = ContentStore(str(tmp_path), "e1")
    _check(store, holds)
    assert len(store) == 10
    assert store.has([content_hash(str(holds["i3"])), content_hash("nothing")]).tolist() == [True, False]
    assert not store.lookup(["x"])[1].any()


def test_what_is_written_afterwards_and_meanwhile_holds(tmp_path: Path) -> None:
    holds = _fill(tmp_path)
    writer, reader = ContentStore(str(tmp_path), "e1"), ContentStore(str(tmp_path), "e1")
    one = ContentStore(str(tmp_path), "e1")
    write = one.shards.write

    def write_while_another_does(*arguments: object) -> str:
        if arguments[0] == "items":
            _put(writer, ["i0", "new"], [500.0, 501.0])
        return write(*arguments)

    one.shards.write = write_while_another_does
    compact(one)
    holds |= {"i0": 500.0, "new": 501.0}
    _put(writer, ["i1"], [502.0])
    holds["i1"] = 502.0
    for store in (ContentStore(str(tmp_path), "e1"), one, reader, writer):
        store.reload()
        _check(store, holds)
    assert compact(ContentStore(str(tmp_path), "e1")).vectors == len(holds)
    _check(ContentStore(str(tmp_path), "e1"), holds)


def test_replaced_shards_are_kept_for_their_grace(tmp_path: Path) -> None:
    holds = _fill(tmp_path)
    reader, idle = (ContentStore(str(tmp_path), "e1") for _ in range(2))
    _check(reader, holds)
    names = Shards(str(tmp_path), "e1").names()
    compact(ContentStore(str(tmp_path), "e1"))
    assert compact(ContentStore(str(tmp_path), "e1"), grace_seconds=3_600).deleted == 0
    assert all((tmp_path / "e1" / name).exists() for name in names)
    assert compact(ContentStore(str(tmp_path), "e1"), grace_seconds=0).deleted == 12
    assert not any((tmp_path / "e1" / name).exists() for name in names)
    assert not list((tmp_path / "e1").glob("replaced-*"))
    _check(reader, holds)  # memory maps outlive their files
    assert reader.reload() == 2
    _check(reader, holds)
    _check(idle, holds)  # had listed the shards, but read from none


def test_a_reader_of_before_finds_what_changed_since(tmp_path: Path) -> None:
    store = ContentStore(str(tmp_path), "e1")
    _put(store, ["a"], [1.0])
    idle = ContentStore(str(tmp_path), "e1")
    _put(store, ["a"], [2.0])
    compact(store, grace_seconds=0)
    assert compact(ContentStore(str(tmp_path), "e1"), grace_seconds=0).deleted > 0
    _check(idle, {"a": 2.0})


def test_a_compaction_that_is_killed_changes_nothing(tmp_path: Path) -> None:
    holds = _fill(tmp_path)
    program = f"""
import os, signal
from learn_features.content.compaction import compact
from learn_features.content.store import ContentStore
store = ContentStore({str(tmp_path)!r}, "e1")
store.shards.replace = lambda names: os.kill(os.getpid(), signal.SIGKILL)
compact(store)
"""
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ}, check=False)
    assert done.returncode == -signal.SIGKILL
    _check(ContentStore(str(tmp_path), "e1"), holds)
    compact(ContentStore(str(tmp_path), "e1"))
    _check(ContentStore(str(tmp_path), "e1"), holds)


def test_a_store_of_before_is_read(tmp_path: Path) -> None:
    """Shards of items had no keys of sources."""
    shards = Shards(str(tmp_path), "e1")
    keys = np.frombuffer(content_hash("text"), np.uint64).reshape(1, 2)
    item = np.frombuffer(content_hash("a"), np.uint64).reshape(1, 2)
    shards.write("vectors", vector_table(keys, np.ones((1, 4), np.float16)))
    columns = ("item_0", "item_1", "text_0", "text_1")
    shards.write("items", key_table(columns, np.concatenate([item, keys], axis=1)))
    store = ContentStore(str(tmp_path), "e1")
    assert store.lookup(["a"])[0].tolist() == [[1, 1, 1, 1]]
    assert not store.current(["a"])[1].any()
    compact(store)
    assert ContentStore(str(tmp_path), "e1").lookup(["a"])[0].tolist() == [[1, 1, 1, 1]]


def test_object_stores_compact_too(tmp_path: Path) -> None:
    uri = f"memory://compaction-{tmp_path.name}"
    store = ContentStore(uri, "e1", cache=tmp_path)
    _put(store, ["a", "b"], [1.0, 2.0])
    _put(store, ["a"], [3.0])
    compact(store, grace_seconds=0)
    compact(store, grace_seconds=0)
    _check(ContentStore(uri, "e1", cache=tmp_path / "other"), {"a": 3.0, "b": 2.0})
    assert len(list((tmp_path / "other" / "e1").glob("*.arrow"))) == 2


def test_arrow_is_what_lies_there(tmp_path: Path) -> None:
    """Any Arrow library reads a shard."""
    _fill(tmp_path)
    compact(ContentStore(str(tmp_path), "e1"))
    (shard,) = (tmp_path / "e1" / n for n in Shards(str(tmp_path), "e1").names() if n.startswith("vectors"))
    table = pa.ipc.open_file(shard).read_all()
    assert table.column_names == ["text_0", "text_1", "vector"]
    high = table["text_0"].to_numpy()
    assert (np.diff(high.astype(object)) >= 0).all()


@pytest.mark.parametrize("which", ["vectors", "items"])
def test_damage_stops_a_compaction(tmp_path: Path, which: str) -> None:
    _fill(tmp_path)
    shard = min((tmp_path / "e1").glob(f"{which}-*"))
    store = ContentStore(str(tmp_path), "e1")
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(raw)
    store.shards._verified.clear()
    with pytest.raises(Exception, match="is damaged"):
        compact(store)
    assert len(store.shards.names()) == 12 + 0
