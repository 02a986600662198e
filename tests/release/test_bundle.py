"""What opening a bundle refuses."""

import hashlib
import json
import shutil
from pathlib import Path

import fsspec
import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from learn_features.config import Config
from learn_features.errors import BundleError
from learn_features.release.bundle import Bundle, open_bundle, publish
from learn_features.towers.identity import weights_sha256

Published = tuple[Config, Path, Bundle]


@pytest.fixture
def copy(published: Published, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    folder = tmp_path / published[2].space_id
    shutil.copytree(published[2].folder, folder)
    return folder


def _edit(folder: Path, **changes: object) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _redigest(folder: Path, name: str) -> None:
    """What somebody would do who alters a file and knows of the digests."""
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    _edit(folder, files=files)


def test_whole_copy_opens(copy: Path) -> None:
    assert open_bundle(str(copy)).space_id == copy.name


@pytest.mark.parametrize(
    "name", ["user_tower.onnx", "item_tower.onnx", "towers.safetensors", "item_residuals.safetensors"]
)
def test_one_flipped_bit(copy: Path, name: str) -> None:
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(raw)
    with pytest.raises(BundleError, match=f"{name}: was altered"):
        open_bundle(str(copy))


@pytest.mark.parametrize(
    "name", ["user_tower.onnx", "towers.safetensors", "item_residuals.safetensors", "manifest.json"]
)
def test_missing_file(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=name):
        open_bundle(str(copy))


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no bundle"):
        open_bundle(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["weights.pkl", ".hidden", "residuals.safetensors"])
def test_unexpected_file(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b"\x80\x04.")
    with pytest.raises(BundleError, match="not expected"):
        open_bundle(str(copy))


def test_link_instead_of_a_file(copy: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    (copy / "user_tower.onnx").rename(outside)
    (copy / "user_tower.onnx").symlink_to(outside)
    with pytest.raises(BundleError, match="not a plain file"):
        open_bundle(str(copy))


def test_unknown_field_and_format(copy: Path) -> None:
    original = (copy / "manifest.json").read_text()
    _edit(copy, surprise=1)
    with pytest.raises(BundleError, match="surprise"):
        open_bundle(str(copy))
    (copy / "manifest.json").write_text(original)
    _edit(copy, format=2)
    with pytest.raises(BundleError, match="format"):
        open_bundle(str(copy))
    (copy / "manifest.json").write_text(original[:-20])
    with pytest.raises(BundleError, match="manifest"):
        open_bundle(str(copy))


def test_space_id_of_other_parts(copy: Path) -> None:
    _edit(copy, space_id="s000000000000")
    with pytest.raises(BundleError, match="does not belong"):
        open_bundle(str(copy))


def test_other_weights_under_the_same_space(copy: Path) -> None:
    tensors = load_file(copy / "towers.safetensors")
    name = sorted(tensors)[0]
    save_file({**tensors, name: tensors[name] + 1}, copy / "towers.safetensors")
    _redigest(copy, "towers.safetensors")
    with pytest.raises(BundleError, match="its weights are"):
        open_bundle(str(copy))


def test_pickle_instead_of_weights(copy: Path) -> None:
    (copy / "towers.safetensors").write_bytes(b"\x80\x04\x95" + b"x" * 50)
    _redigest(copy, "towers.safetensors")
    with pytest.raises(BundleError, match="not a safetensors file"):
        open_bundle(str(copy))


def test_external_data(copy: Path) -> None:
    file = copy / "user_tower.onnx"
    model = onnx.load(file)
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    file.write_bytes(model.SerializeToString())
    _redigest(copy, "user_tower.onnx")
    with pytest.raises(BundleError, match="outside the file"):
        open_bundle(str(copy))


def test_external_data_in_a_nested_constant(copy: Path) -> None:
    file = copy / "item_tower.onnx"
    model = onnx.load(file)
    tensor = onnx.TensorProto(data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    constant = onnx.helper.make_node("Constant", [], ["c"], value=tensor)
    inner = onnx.helper.make_graph([constant], "inner", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))
    file.write_bytes(model.SerializeToString())
    _redigest(copy, "item_tower.onnx")
    with pytest.raises(BundleError, match="outside the file"):
        open_bundle(str(copy))


def test_foreign_operator_and_garbage(copy: Path) -> None:
    file = copy / "item_tower.onnx"
    model = onnx.load(file)
    model.graph.node[0].domain = "evil.corp"
    file.write_bytes(model.SerializeToString())
    _redigest(copy, "item_tower.onnx")
    with pytest.raises(BundleError, match=r"evil\.corp"):
        open_bundle(str(copy))
    file.write_bytes(b"\xff" * 64)
    _redigest(copy, "item_tower.onnx")
    with pytest.raises(BundleError, match="not an ONNX file"):
        open_bundle(str(copy))


def test_changed_after_opening(copy: Path) -> None:
    bundle = open_bundle(str(copy))
    (copy / "item_tower.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="has changed"):
        bundle.read("item_tower.onnx")


def test_publishing_does_not_replace(copy: Path, published: Published, tmp_path: Path) -> None:
    target = tmp_path / "bundles" / copy.name
    staged = tmp_path / "staged"
    shutil.copytree(copy, staged)
    assert publish(staged, str(target)) is True
    assert not staged.exists()
    assert publish(copy, str(target)) is False
    assert open_bundle(str(target)).space_id == copy.name


def test_remote_bundle_is_fetched_once_and_verified(copy: Path, tmp_path: Path) -> None:
    remote = fsspec.filesystem("memory")
    uri = f"memory://bundles-{tmp_path.name}/{copy.name}"
    assert publish(copy, uri) is True
    assert publish(copy, uri) is False
    cache = tmp_path / "cache"
    bundle = open_bundle(uri, cache)
    assert bundle.space_id == copy.name
    assert bundle.folder.parent == cache
    remote.rm(uri, recursive=True)
    assert open_bundle(uri, cache).read("item_tower.onnx") == (copy / "item_tower.onnx").read_bytes()
    with pytest.raises(BundleError, match="there is no bundle"):
        open_bundle(uri + "x", cache)
    (bundle.folder / "user_tower.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="delete the copy"):
        open_bundle(uri, cache)


def test_weights_digest_is_of_tensors_not_of_files(tmp_path: Path) -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, dtype=np.int64)
    save_file({"a": a, "b": b}, tmp_path / "1")
    save_file({"b": b, "a": a}, tmp_path / "2", metadata={"written": "today"})
    # by hand: per file a count, per tensor name, type, shape, size and bytes, tensors by name
    expected = hashlib.sha256(
        b"file\x002\x00" + b"a\0F32\x002,3\x0024\0" + a.tobytes() + b"b\0I64\x002\x0016\0" + b.tobytes()
    ).hexdigest()
    assert weights_sha256(tmp_path / "1") == weights_sha256(tmp_path / "2") == expected
    for name, tensors in {
        "renamed": {"a": a, "c": b},
        "reshaped": {"a": a.reshape(3, 2), "b": b},
        "retyped": {"a": a.view(np.int32), "b": b},
        "changed": {"a": a + 1, "b": b},
        "fewer": {"a": a},
    }.items():
        save_file(tensors, tmp_path / name)
        assert weights_sha256(tmp_path / name) != expected, name
    assert weights_sha256(tmp_path / "1", tmp_path / "fewer") != expected
