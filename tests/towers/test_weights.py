import hashlib
import json

import fsspec
import numpy as np
import pytest
import torch

from learn_features.contracts.manifest import RESIDUALS_FILE
from learn_features.errors import BundleError, MissingDependency
from learn_features.towers import weights
from learn_features.towers.identity import weights_sha256
from learn_features.towers.residuals import ItemResiduals
from learn_features.towers.weights import load_residuals, load_towers, restore, save_towers, tensors

from .conftest import save_run


def same(one, other) -> bool:
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("variant", ["sequence", "single", "content", "projection"])
def test_what_was_saved_is_loaded(make_towers, tmp_path, variant):
    towers = make_towers(variant)
    save_run(towers, tmp_path)
    loaded = load_towers(tmp_path)
    assert same(towers, loaded)
    assert not loaded.training
    content, lengths = torch.randn(4, 5, 12), torch.tensor([1, 3, 5, 2])
    assert torch.equal(towers.user(content, lengths), loaded.user(content, lengths))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.json", "weights.safetensors"]


def test_a_bundle_is_read_by_uri_and_its_digest_checked(make_towers, tmp_path):
    towers = make_towers()
    save_towers(towers, tmp_path / "towers.safetensors")
    digest = hashlib.sha256((tmp_path / "towers.safetensors").read_bytes()).hexdigest()
    about = {"towers": towers.config.model_dump(), "files": {"towers.safetensors": digest}}
    (tmp_path / "manifest.json").write_text(json.dumps(about))
    assert same(towers, load_towers(f"file://{tmp_path}"))

    save_towers(make_towers(seed=1), tmp_path / "towers.safetensors")
    with pytest.raises(BundleError, match="digest is not the manifest's"):
        load_towers(tmp_path)


def test_the_digest_of_a_run_elsewhere_is_checked(make_towers, tmp_path):
    towers = make_towers(residuals=True)
    ItemResiduals.of(["a"], np.ones((1, 8), np.float32)).save(tmp_path / RESIDUALS_FILE)
    save_towers(towers, tmp_path / "weights.safetensors")
    digest = weights_sha256(tmp_path / "weights.safetensors", tmp_path / RESIDUALS_FILE)
    about = {"towers": towers.config.model_dump(), "weights_sha256": digest}
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/run/run.json", json.dumps(about).encode())
    for name in ("weights.safetensors", RESIDUALS_FILE):
        memory.pipe_file(f"/run/{name}", (tmp_path / name).read_bytes())
    assert same(towers, load_towers("memory://run"))
    raw = memory.cat_file(f"/run/{RESIDUALS_FILE}")
    memory.pipe_file(f"/run/{RESIDUALS_FILE}", raw[:-1] + b"\x00")
    with pytest.raises(BundleError, match=r"memory://run: weights or residuals are not those"):
        load_towers("memory://run")
    memory.rm_file(f"/run/{RESIDUALS_FILE}")
    with pytest.raises(BundleError, match=r"memory://run/item_residuals\.safetensors: cannot be read"):
        load_towers("memory://run")


def test_residuals_lie_beside_the_weights(make_towers, tmp_path):
    save_run(make_towers(), tmp_path)
    assert load_residuals(tmp_path) is None
    save_run(make_towers(residuals=True), tmp_path)
    with pytest.raises(BundleError, match=r"item_residuals\.safetensors: cannot be read"):
        load_residuals(tmp_path)
    ItemResiduals.of(["a"], np.ones((1, 8), np.float32)).save(tmp_path / RESIDUALS_FILE)
    assert load_residuals(tmp_path).lookup(["a", "b"]).tolist() == [[1] * 8, [0] * 8]
    ItemResiduals.of(["a"], np.ones((1, 4), np.float32)).save(tmp_path / RESIDUALS_FILE)
    with pytest.raises(BundleError, match="width 4, the towers 8"):
        load_residuals(tmp_path)


def test_residuals_of_a_bundle_elsewhere_are_fetched_and_checked(make_towers, tmp_path):
    ItemResiduals.of(["a"], np.ones((1, 8), np.float32)).save(tmp_path / RESIDUALS_FILE)
    raw = (tmp_path / RESIDUALS_FILE).read_bytes()
    files = {RESIDUALS_FILE: hashlib.sha256(raw).hexdigest()}
    about = {"towers": make_towers(residuals=True).config.model_dump(), "files": files}
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bundle/manifest.json", json.dumps(about).encode())
    memory.pipe_file(f"/bundle/{RESIDUALS_FILE}", raw)
    assert load_residuals("memory://bundle").lookup(["a"]).tolist() == [[1] * 8]
    memory.pipe_file(f"/bundle/{RESIDUALS_FILE}", raw[:-1] + b"\x00")
    with pytest.raises(BundleError, match="digest is not the manifest's"):
        load_residuals("memory://bundle")


def test_another_architecture_is_refused(make_towers, tmp_path):
    save_run(make_towers(), tmp_path, config=make_towers(layers=3).config)
    with pytest.raises(BundleError, match=r"weights.safetensors: weights of another architecture: \d+ names"):
        load_towers(tmp_path)
    save_run(make_towers(), tmp_path, config=make_towers(item_hidden=11).config)
    with pytest.raises(BundleError, match=r"item\.\S+ is \(.*10.*\) where \(.*11.*\) is needed"):
        load_towers(tmp_path)


def test_weights_that_are_not_finite_are_refused(make_towers, tmp_path):
    towers = make_towers()
    with torch.no_grad():
        towers.log_scale.fill_(float("nan"))
    save_run(towers, tmp_path)
    with pytest.raises(BundleError, match=r"1 of \d+ weights are not finite, \['log_scale'\]; train anew"):
        load_towers(tmp_path)


@pytest.mark.parametrize("what", ["missing", "shape", "not finite"])
def test_restore_refuses_before_it_changes_anything(make_towers, what):
    towers, other = (make_towers(seed=seed, residuals=True, similar_items=9) for seed in (0, 1))
    towers.item.similar.fill(torch.randn(3, 12), torch.randn(3, 8))
    other.item.similar.fill(torch.randn(5, 12), torch.randn(5, 8))
    saved = dict(tensors(other))
    if what == "missing":
        saved.popitem()
    elif what == "not finite":
        saved["log_scale"] = torch.tensor(torch.nan)
    else:
        saved["item.similar.audiences"] = torch.randn(4, 8)
    before = {name: tensor.clone() for name, tensor in tensors(towers).items()}
    with pytest.raises(BundleError):
        restore(towers, saved)
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors(towers).items())


def test_broken_folders_are_explained(tmp_path, make_towers):
    with pytest.raises(BundleError, match=r"neither a bundle .* nor a training run"):
        load_towers(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(BundleError, match=r"manifest\.json: has format 99, this release 1"):
        load_towers(tmp_path)
    (tmp_path / "manifest.json").unlink()
    save_run(make_towers(), tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"not tensors")
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        load_towers(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        load_towers(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (None, r"run\.json: is not a JSON object"),
        ({"towers": 3}, r"is damaged, or of another release \(towers: Input should be"),
        (
            {"towers": {"width": -1, "depth": 2}},
            r"another release \(towers\.content_dimension: Field required; ",
        ),
    ],
)
def test_a_damaged_description_is_explained(tmp_path, make_towers, changes, said):
    save_run(make_towers(), tmp_path)
    known = json.loads((tmp_path / "run.json").read_text())
    for about in ([1, 2], None) if changes is None else ({**known, **changes},):
        (tmp_path / "run.json").write_text(json.dumps(about))
        with pytest.raises(BundleError, match=said):
            load_towers(tmp_path)


def test_a_missing_package_of_a_store_is_said(monkeypatch):
    def missing(_uri):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(weights.fsspec, "url_to_fs", missing)
    with pytest.raises(MissingDependency, match=r"s3://bucket/space: .*Install s3fs"):
        weights.describe("s3://bucket/space")
