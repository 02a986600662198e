"""OnnxTowers: shapes, batching, refusals, and no torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from learn_features.config import Config
from learn_features.errors import BundleError, MissingDependency, SpaceMismatch
from learn_features.release import runtime
from learn_features.release.bundle import Bundle
from learn_features.release.runtime import OnnxTowers

from .conftest import CONTENT, LENGTH

Published = tuple[Config, Path, Bundle]


@pytest.fixture(scope="module")
def towers(published: Published) -> OnnxTowers:
    return OnnxTowers(published[2], threads=1)


@pytest.fixture(scope="module")
def histories() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    content = random.normal(0.3, 0.1, (40, LENGTH, CONTENT)).astype(np.float16)
    return content, random.integers(1, LENGTH + 1, 40)


def test_unit_vectors_of_the_right_shape(
    towers: OnnxTowers, histories: tuple[np.ndarray, np.ndarray]
) -> None:
    content, lengths = histories
    users, items = towers.embed_users(content, lengths), towers.embed_items(content[:, 0])
    for vectors in (users, items):
        assert vectors.shape == (40, towers.dimension)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_batches_and_padding_do_not_matter(
    towers: OnnxTowers, histories: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    content, lengths = histories
    whole = towers.embed_users(content, lengths)
    items = towers.embed_items(content[:, 0])
    monkeypatch.setattr(runtime, "ENTRIES_PER_BATCH", 7)  # below one history: batches of one
    monkeypatch.setattr(runtime, "ITEMS_PER_BATCH", 3)
    alone = [towers.embed_users(content[r : r + 1, :n], lengths[r : r + 1])[0] for r, n in enumerate(lengths)]
    np.testing.assert_allclose(whole, np.stack(alone), atol=1e-6)
    np.testing.assert_allclose(towers.embed_users(content, lengths), whole, atol=1e-6)
    np.testing.assert_allclose(towers.embed_items(content[:, 0]), items, atol=1e-6)
    dirty = content.copy()
    for row, length in enumerate(lengths):
        dirty[row, length:] = 60_000
    np.testing.assert_allclose(towers.embed_users(dirty, lengths), whole, atol=1e-6)


def test_order_within_a_history_matters(towers: OnnxTowers, histories: tuple[np.ndarray, np.ndarray]) -> None:
    content = histories[0][:, :2]
    two = np.full(len(content), 2)
    assert np.abs(towers.embed_users(content, two) - towers.embed_users(content[:, ::-1], two)).max() > 1e-3


def test_nothing_in_nothing_out(towers: OnnxTowers) -> None:
    assert towers.embed_items(np.empty((0, CONTENT), np.float16)).shape == (0, towers.dimension)
    for length in (0, 3):
        empty = np.empty((0, length, CONTENT), np.float32)
        assert towers.embed_users(empty, np.empty(0, np.int64)).shape == (0, towers.dimension)


def test_wrong_content_is_refused(towers: OnnxTowers) -> None:
    with pytest.raises(SpaceMismatch, match="384"):
        towers.embed_items(np.zeros((2, 384), np.float16))
    with pytest.raises(SpaceMismatch, match="3 axes"):
        towers.embed_users(np.zeros((2, CONTENT), np.float16), np.ones(2, np.int64))


@pytest.mark.parametrize("lengths", [[1, 0], [1, LENGTH + 1], [1], [-1, 1]])
def test_wrong_lengths_are_refused(towers: OnnxTowers, lengths: list[int]) -> None:
    with pytest.raises(ValueError, match=r"histories are not|lengths are"):
        towers.embed_users(np.zeros((2, LENGTH + 5, CONTENT), np.float32), np.array(lengths))


def test_content_that_is_not_a_number_is_refused(towers: OnnxTowers) -> None:
    content = np.zeros((3, CONTENT), np.float16)
    content[1, 4] = np.nan
    with pytest.raises(ValueError, match="first row 1"):
        towers.embed_items(content)


def test_cuda_that_is_not_there_is_said(published: Published) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers() and Path("/dev/nvidia0").exists():
        assert OnnxTowers(published[2], device="cuda").providers[0] == "CUDAExecutionProvider"
    else:
        with pytest.raises(MissingDependency, match="CUDA was asked for"):
            OnnxTowers(published[2], device="cuda")


class _Altered(Bundle):
    """A bundle whose files are read as given: what a wrong export would have sealed."""

    files: dict[str, bytes]

    def read(self, name: str) -> bytes:
        return self.files.get(name) or super().read(name)


def _with(bundle: Bundle, **files: onnx.ModelProto) -> Bundle:
    altered = _Altered(bundle.uri, bundle.folder, bundle.manifest)
    object.__setattr__(altered, "files", {f"{k}.onnx": v.SerializeToString() for k, v in files.items()})
    return altered


def test_onnx_of_another_space_is_refused(published: Published) -> None:
    bundle = published[2]
    other = onnx.load_model_from_string(bundle.read("item_tower.onnx"))
    other.metadata_props[0].value = "s111111111111"
    with pytest.raises(SpaceMismatch, match="s111111111111"):
        OnnxTowers(_with(bundle, item_tower=other))


def test_onnx_of_another_shape_is_refused(published: Published) -> None:
    bundle = published[2]
    frozen = onnx.load_model_from_string(bundle.read("user_tower.onnx"))
    frozen.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    with pytest.raises(BundleError, match="inputs are"):
        OnnxTowers(_with(bundle, user_tower=frozen))


def test_serving_needs_neither_torch_nor_onnx(published: Published) -> None:
    _config, _run, bundle = published
    program = f"""
import sys
import numpy as np
from learn_features.release.bundle import open_bundle
from learn_features.release.runtime import OnnxTowers
towers = OnnxTowers(open_bundle({bundle.uri!r}), threads=1)
residuals = towers.residuals(["item 1", "new", "item 2"])
assert residuals.any(axis=1).tolist() == [True, False, True]
towers.embed_items(np.zeros((3, {CONTENT}), np.float16), residuals)
towers.embed_users(np.zeros((3, 2, {CONTENT}), np.float16), np.array([1, 2, 1]))
heavy = {{"torch", "onnx", "onnxscript", "transformers", "safetensors", "feast"}} & set(sys.modules)
print(sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
