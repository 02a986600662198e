"""Overlay before shards, reload by the clock."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from learn_features.content.lookup import ContentLookup
from learn_features.content.store import ContentStore, content_hash
from learn_features.errors import SpaceMismatch


def _put(folder: Path, **values: float) -> None:
    vectors = np.array([[v, v] for v in values.values()], dtype=np.float16)
    hashes = [content_hash(f"{name}{value}") for name, value in values.items()]
    ContentStore(str(folder), "e1").put(list(values), hashes, vectors)


def test_overlay_is_newer_than_shards(tmp_path: Path) -> None:
    _put(tmp_path, a=1, b=2, c=3)
    newer = {"b": np.array([9, 9], np.float32), "c": None, "d": np.array([4, 4], np.float16)}
    lookup = ContentLookup(ContentStore(str(tmp_path), "e1"), lambda ids: newer)
    vectors, found = lookup(["a", "b", "c", "d", "e", "b"])
    assert found.tolist() == [True, True, False, True, False, True]
    assert vectors[:, 0].tolist() == [1, 9, 0, 4, 0, 9]
    assert vectors.dtype == np.float16


def test_overlay_over_an_empty_store(tmp_path: Path) -> None:
    lookup = ContentLookup(ContentStore(str(tmp_path), "e1"), lambda ids: {"a": np.ones(3, np.float16)})
    vectors, found = lookup(["x", "a"])
    assert vectors.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert found.tolist() == [False, True]
    assert lookup([])[0].shape == (0, 0)


def test_overlay_of_another_encoder(tmp_path: Path) -> None:
    _put(tmp_path, a=1)
    lookup = ContentLookup(ContentStore(str(tmp_path), "e1"), lambda ids: {"a": np.ones(3, np.float16)})
    with pytest.raises(SpaceMismatch, match="item a has 3"):
        lookup(["a"])


def test_shards_are_listed_again_when_it_is_time(tmp_path: Path) -> None:
    now = 100.0
    lookup = ContentLookup(ContentStore(str(tmp_path), "e1"), reload_seconds=60, clock=lambda: now)
    _put(tmp_path, a=1)
    now = 159.0
    assert not lookup(["a"])[1].any()
    now = 160.0
    assert lookup(["a"])[1].all()


def test_serving_needs_no_torch(tmp_path: Path) -> None:
    _put(tmp_path, a=1)
    program = f"""
import sys
from learn_features.content.lookup import ContentLookup
from learn_features.content.store import ContentStore
assert ContentLookup(ContentStore({str(tmp_path)!r}, "e1"))(["a"])[1].all()
print(sorted({{"torch", "transformers", "tokenizers", "feast"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
