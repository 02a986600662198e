"""The content store: later wins, damage is seen, writers do not meet, remote works."""

import multiprocessing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learn_features.content.key_index import KeyIndex
from learn_features.content.shards import Shards
from learn_features.content.store import ContentStore, content_hash
from learn_features.errors import DataError, SpaceMismatch

Uri = Path


def _vectors(*values: float, width: int = 4) -> np.ndarray:
    return np.repeat(np.array(values, dtype=np.float16)[:, None], width, axis=1)


def _hashes(*texts: str) -> list[bytes]:
    return [content_hash(text) for text in texts]


def test_what_was_put_is_found_by_every_process(tmp_path: Path) -> None:
    store = ContentStore(str(tmp_path), "e1")
    store.put(["a", "b"], _hashes("ta", "tb"), _vectors(1, 2))
    store.put(["c"], _hashes("tc"), _vectors(3))
    for reader in (store, ContentStore(str(tmp_path), "e1")):
        vectors, found = reader.lookup(["c", "x", "a", "b", "a"])
        assert found.tolist() == [True, False, True, True, True]
        np.testing.assert_array_equal(vectors, _vectors(3, 0, 1, 2, 1))
    assert len(store) == 3
    assert ContentStore(str(tmp_path), "e2", dimension=4).lookup(["a"])[1].tolist() == [False]


def test_the_last_text_of_an_item_holds(tmp_path: Path) -> None:
    store = ContentStore(str(tmp_path), "e1")
    store.put(["a", "b"], _hashes("old", "same"), _vectors(1, 5))
    store.put(["a"], _hashes("new"), _vectors(2))
    assert store.up_to_date(["a", "a", "b", "x"], _hashes("old", "new", "same", "old")).tolist() == [
        False,
        True,
        True,
        False,
    ]
    np.testing.assert_array_equal(ContentStore(str(tmp_path), "e1").lookup(["a", "b"])[0], _vectors(2, 5))
    store.point(["a"], _hashes("old"))  # the text goes back: no vector is written again
    np.testing.assert_array_equal(ContentStore(str(tmp_path), "e1").lookup(["a"])[0], _vectors(1))
    assert len(list((tmp_path / "e1").glob("vectors-*"))) == 2


def test_equal_texts_share_a_vector(tmp_path: Path) -> None:
    store = ContentStore(str(tmp_path), "e1")
    store.put(["a", "b", "c"], _hashes("t", "t", "u"), _vectors(1, 1, 2))
    store.put(["d"], _hashes("t"), _vectors(1))
    np.testing.assert_array_equal(store.lookup(["a", "b", "c", "d"])[0], _vectors(1, 1, 2, 1))
    assert len(store._vector_shards) == 1
    assert len(store._map(0)) == 2


def test_reader_takes_in_new_shards(tmp_path: Path) -> None:
    reader = ContentStore(str(tmp_path), "e1")
    assert reader.lookup(["a"])[0].shape == (1, 0)
    ContentStore(str(tmp_path), "e1").put(["a"], _hashes("t"), _vectors(7))
    assert reader.lookup(["a"])[1].tolist() == [False]
    assert reader.reload() == 2
    assert reader.reload() == 0
    np.testing.assert_array_equal(reader.lookup(["a"])[0], _vectors(7))


def test_a_late_shard_of_an_earlier_time_does_not_win(tmp_path: Path) -> None:
    elsewhere = ContentStore(str(tmp_path / "other"), "e1")
    elsewhere.put(["a"], _hashes("old"), _vectors(1))
    writer = ContentStore(str(tmp_path / "main"), "e1")
    writer.put(["a"], _hashes("new"), _vectors(2))
    reader = ContentStore(str(tmp_path / "main"), "e1")
    for shard in (tmp_path / "other" / "e1").iterdir():
        shard.rename(tmp_path / "main" / "e1" / shard.name)
    assert reader.reload() == 2
    for any_reader in (reader, ContentStore(str(tmp_path / "main"), "e1")):
        np.testing.assert_array_equal(any_reader.lookup(["a"])[0], _vectors(2))


@pytest.mark.parametrize("kind", ["vectors", "items"])
def test_damage_is_named(tmp_path: Path, kind: str) -> None:
    ContentStore(str(tmp_path), "e1").put(["a", "b"], _hashes("t", "u"), _vectors(1, 2))
    (shard,) = (tmp_path / "e1").glob(f"{kind}-*")
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(DataError, match=f"{shard.name}: is damaged"):
        ContentStore(str(tmp_path), "e1").lookup(["a"])
    shard.write_bytes(bytes(raw[:100]))
    with pytest.raises(DataError, match="is damaged"):
        ContentStore(str(tmp_path), "e1")
    assert Shards(str(tmp_path), "e1").set_aside_damaged() == [shard.name]
    assert [path.name for path in (tmp_path / "e1" / "damaged").iterdir()] == [shard.name]
    store = ContentStore(str(tmp_path), "e1", dimension=4)
    assert store.up_to_date(["a"], _hashes("t")).tolist() == [False]
    store.put(["a", "b"], _hashes("t", "u"), _vectors(1, 2))
    np.testing.assert_array_equal(ContentStore(str(tmp_path), "e1").lookup(["b"])[0], _vectors(2))


def test_unfinished_file_of_a_killed_writer_is_not_read(tmp_path: Path) -> None:
    store = ContentStore(str(tmp_path), "e1")
    store.put(["a"], _hashes("t"), _vectors(1))
    (tmp_path / "e1" / ".vectors-0-x.arrow.tmp").write_bytes(b"half")
    assert ContentStore(str(tmp_path), "e1").lookup(["a"])[1].all()


def test_wrong_vectors_are_refused(tmp_path: Path) -> None:
    store = ContentStore(str(tmp_path), "e1", dimension=4)
    with pytest.raises(SpaceMismatch, match="5"):
        store.put(["a"], _hashes("t"), _vectors(1, width=5))
    with pytest.raises(DataError, match="finite"):
        store.put(["a"], _hashes("t"), _vectors(float("nan")))
    with pytest.raises(DataError, match="do not agree"):
        store.put(["a", "b"], _hashes("t"), _vectors(1))
    store.put([], [], np.empty((0, 4), np.float16))
    assert not list(tmp_path.rglob("*.arrow"))
    store.put(["a"], _hashes("t"), _vectors(1))
    with pytest.raises(SpaceMismatch):
        ContentStore(str(tmp_path), "e1", dimension=8)


def _write_many(uri: str, writer: int) -> None:
    store = ContentStore(uri, "e1")
    for round_ in range(20):
        names = [f"i{n}" for n in range(round_, round_ + 5)]
        store.put(names, _hashes(*names), _vectors(*range(round_, round_ + 5)))


def test_two_writers_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(str(tmp_path), n)) for n in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    vectors, found = ContentStore(str(tmp_path), "e1").lookup([f"i{n}" for n in range(24)])
    assert found.all()
    np.testing.assert_array_equal(vectors, _vectors(*range(24)))


def test_object_store_through_a_cache(tmp_path: Path) -> None:
    uri = f"memory://content-{tmp_path.name}"
    ContentStore(uri, "e1", cache=tmp_path / "a").put(["a"], _hashes("t"), _vectors(3))
    reader = ContentStore(uri, "e1", cache=tmp_path / "b")
    np.testing.assert_array_equal(reader.lookup(["a"])[0], _vectors(3))
    assert len(list((tmp_path / "b" / "e1").iterdir())) == 2


def test_vectors_stay_in_their_files(tmp_path: Path) -> None:
    names = [f"i{n}" for n in range(2_000)]
    ContentStore(str(tmp_path), "e1").put(names, _hashes(*names), np.ones((2_000, 64), np.float16))
    before = pa.total_allocated_bytes()
    store = ContentStore(str(tmp_path), "e1")
    assert store.lookup(names[:3])[1].all()
    assert pa.total_allocated_bytes() - before < 2_000 * 16  # not even the keys, as they lie in the file


Key = st.tuples(st.integers(0, 3), st.integers(0, 3))  # few first halves: collisions are the rule


@settings(max_examples=200)
@given(st.lists(st.lists(st.tuples(Key, Key), max_size=6), max_size=4), st.lists(Key, max_size=8))
def test_key_index_is_a_dict(
    batches: list[list[tuple[tuple[int, int], tuple[int, int]]]], asked: list[tuple[int, int]]
) -> None:
    index, expected = KeyIndex(), {}
    for batch in batches:
        if batch:
            index.add(*(np.array(part, dtype=np.uint64) for part in zip(*batch, strict=True)))
            index.find(np.zeros((1, 2), np.uint64))
        expected.update(batch)
    values, found = index.find(np.array(asked, dtype=np.uint64).reshape(-1, 2))
    assert len(index) == len(expected)
    assert found.tolist() == [key in expected for key in asked]
    assert [tuple(v) for v in values.tolist()] == [expected.get(key, (0, 0)) for key in asked]
