"""A space with residuals and time gaps, from the run's folder to what serving computes."""

import hashlib
import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from safetensors.numpy import load_file, save_file

from learn_features.config import Config
from learn_features.contracts.run_files import RUN_FILE, RUN_WEIGHTS_FILE
from learn_features.errors import BundleError, GateFailed, SpaceMismatch
from learn_features.release.bundle import Bundle, open_bundle
from learn_features.release.export import export_run
from learn_features.release.parity import check_parity
from learn_features.release.runtime import OnnxTowers
from learn_features.towers.identity import weights_sha256
from learn_features.towers.residuals import ItemResiduals
from learn_features.towers.weights import load_residuals, load_towers

from .conftest import CONTENT, ITEMS, LENGTH, make_run

FILE = "item_residuals.safetensors"
Exported = tuple[Path, Bundle]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A run's folder and its bundle; for tests that only read."""
    folder = tmp_path_factory.mktemp("residuals")
    run = make_run(folder / "run", residuals=True, time_gaps=True)
    return run, open_bundle(export_run(Config(state=str(folder / "state")), run))


@pytest.fixture(scope="module")
def towers(exported: Exported) -> OnnxTowers:
    return OnnxTowers(exported[1], threads=1)


@pytest.fixture
def copy(exported: Exported, tmp_path: Path) -> Path:
    """A copy of the bundle to tamper with."""
    folder = tmp_path / exported[1].space_id
    shutil.copytree(exported[1].folder, folder)
    return folder


def test_the_bundle_carries_what_the_run_learned(exported: Exported, towers: OnnxTowers) -> None:
    run, bundle = exported
    manifest = bundle.manifest
    assert manifest.residual_dimension == manifest.dimension == 64
    assert [t.name for t in manifest.item_tower.inputs] == ["content", "residual"]
    assert [t.name for t in manifest.user_tower.inputs] == ["content", "lengths", "residual", "gap"]
    assert manifest.parity.cases > 60
    asked = [*ITEMS[::3], "new", ITEMS[1]]
    found = towers.residuals(asked)
    assert found is not None
    np.testing.assert_array_equal(found, ItemResiduals.load(run / FILE).lookup(asked))
    assert found.any(axis=1).tolist() == [True] * 14 + [False, True]
    reloaded = load_residuals(bundle.folder)
    assert reloaded is not None
    np.testing.assert_array_equal(reloaded.lookup(asked), found)


def test_onnx_agrees_with_torch_on_mixed_histories(exported: Exported, towers: OnnxTowers) -> None:
    run, _bundle = exported
    model, residuals = load_towers(run), load_residuals(run)
    assert residuals is not None
    random = np.random.default_rng(3)
    lengths = random.integers(1, LENGTH + 1, 31)
    content = random.normal(0.3, 0.1, (31, LENGTH, CONTENT)).astype(np.float32)
    ids = random.choice([*ITEMS, *(f"new {n}" for n in range(40))], (31, LENGTH))
    times = np.cumsum(2.0 ** random.integers(-1, 25, (31, LENGTH)), axis=1)
    gaps = np.diff(times, axis=1, prepend=0).astype(np.float32)
    gaps[:, 0] = -1
    found = towers.residuals(ids.ravel().tolist())
    assert found is not None
    known = found.reshape(31, LENGTH, -1)
    actual = towers.embed_users(content, lengths, known, gaps)
    with torch.inference_mode():
        for row, length in enumerate(lengths):
            # one history after the other, without padding, and its residuals and gaps worked out again
            own = [(b - a) for a, b in pairwise(times[row, :length].tolist())]
            expected = model.user(
                torch.from_numpy(content[row : row + 1, :length]),
                torch.tensor([length]),
                torch.from_numpy(residuals.lookup(ids[row, :length].tolist()))[None],
                torch.tensor([[-1.0, *own]]),
            )
            np.testing.assert_allclose(actual[row], expected[0].numpy(), atol=1e-5)
        items = model.item(torch.from_numpy(content[:, 0]), torch.from_numpy(known[:, 0])).numpy()
    np.testing.assert_allclose(towers.embed_items(content[:, 0], known[:, 0]), items, atol=1e-5)


def test_an_unknown_item_is_its_content_alone(towers: OnnxTowers) -> None:
    content = np.random.default_rng(4).normal(0.3, 0.1, (6, CONTENT)).astype(np.float32)
    residuals = towers.residuals([ITEMS[0], ITEMS[1], ITEMS[2], "new", "newer", ""])
    assert residuals is not None
    both, alone = towers.embed_items(content, residuals), towers.embed_items(content)
    np.testing.assert_array_equal(both[3:], alone[3:])
    assert np.abs(both[:3] - alone[:3]).max(axis=1).min() > 0.05
    lengths, gaps = np.array([6]), np.full((1, 6), -1, np.float32)
    zeros = np.zeros((1, 6, towers.dimension), np.float32)
    np.testing.assert_array_equal(
        towers.embed_users(content[None], lengths, zeros, gaps),
        towers.embed_users(content[None], lengths, None, gaps),
    )


def test_inputs_that_do_not_fit_are_refused(towers: OnnxTowers) -> None:
    content, lengths = np.zeros((2, 3, CONTENT), np.float32), np.array([1, 3])
    gaps, residuals = np.zeros((2, 3), np.float32), np.zeros((2, 3, 64), np.float32)
    with pytest.raises(SpaceMismatch, match=r"reads the time since the previous entry.* gaps are None"):
        towers.embed_users(content, lengths, residuals)
    with pytest.raises(SpaceMismatch, match=r"gaps are \(2, 2\)"):
        towers.embed_users(content, lengths, residuals, gaps[:, :2])
    with pytest.raises(SpaceMismatch, match=r"residuals are \(2, 3, 63\)"):
        towers.embed_users(content, lengths, residuals[..., :63], gaps)
    with pytest.raises(SpaceMismatch, match=r"residuals are \(1, 64\)"):
        towers.embed_items(content[:, 0], residuals[:1, 0])


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A run and bundle of before: they do not name the settings that came later."""
    folder = tmp_path_factory.mktemp("older")
    run = make_run(folder / "run", residuals=False)
    about = json.loads((run / RUN_FILE).read_text())
    for later in ("residuals", "time_gaps"):
        del about["towers"][later]
    (run / RUN_FILE).write_text(json.dumps(about))
    return run, open_bundle(export_run(Config(state=str(folder)), run))


def test_a_space_with_neither_takes_the_same_calls(older: Exported) -> None:
    bundle = older[1]
    plain = OnnxTowers(bundle, threads=1)
    assert bundle.manifest.residual_dimension is None
    assert FILE not in bundle.manifest.files
    assert plain.residuals(ITEMS) is None
    content, lengths = np.ones((2, 3, CONTENT), np.float32), np.array([1, 3])
    np.testing.assert_array_equal(
        plain.embed_users(content, lengths, plain.residuals([]), np.zeros((2, 3), np.float32)),
        plain.embed_users(content, lengths),
    )
    with pytest.raises(SpaceMismatch, match="has none"):
        plain.embed_items(content[:, 0], np.zeros((2, 64), np.float32))


def _redigest(folder: Path) -> None:
    """What somebody would do who alters the residuals and knows of the files' digests."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["files"][FILE] = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    file.write_text(json.dumps(manifest))


def test_altered_residuals_are_refused(copy: Path) -> None:
    raw = bytearray((copy / FILE).read_bytes())
    raw[-3] ^= 1
    (copy / FILE).write_bytes(raw)
    with pytest.raises(BundleError, match=f"{FILE}: was altered"):
        open_bundle(str(copy))
    with pytest.raises(BundleError, match="digest is not the manifest's"):
        load_residuals(copy)
    _redigest(copy)
    with pytest.raises(BundleError, match="its weights are"):
        open_bundle(str(copy))


def test_missing_and_foreign_residuals_are_refused(copy: Path) -> None:
    tensors = load_file(copy / FILE)
    save_file({**tensors, "residuals": tensors["residuals"][:, :32].copy()}, copy / FILE)
    _redigest(copy)
    with pytest.raises(BundleError, match="residuals have width 32, the towers 64"):
        open_bundle(str(copy))
    (copy / FILE).unlink()
    with pytest.raises(BundleError, match=FILE):
        open_bundle(str(copy))


def test_a_manifest_that_hides_the_residuals_is_refused(copy: Path) -> None:
    file = copy / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["files"][FILE]
    file.write_text(json.dumps({**manifest, "residual_dimension": None}))
    with pytest.raises(BundleError, match="residual_dimension is None, but a tower reads width 64"):
        open_bundle(str(copy))


def test_residuals_are_part_of_the_space(exported: Exported, tmp_path: Path) -> None:
    run, bundle = exported
    weights = run / RUN_WEIGHTS_FILE
    assert bundle.manifest.weights_sha256 == weights_sha256(weights, run / FILE)
    table = np.random.default_rng(9).normal(size=(2, 64)).astype(np.float32)
    ItemResiduals.of(["a", "b"], table).save(tmp_path / "one")
    ItemResiduals.of(["b", "a"], table).save(tmp_path / "other")
    ItemResiduals.of(["b", "a"], table[::-1]).save(tmp_path / "reordered")
    digests = [weights_sha256(weights, tmp_path / name) for name in ("one", "other", "reordered")]
    assert digests[0] == digests[2] != digests[1]
    assert len({*digests, weights_sha256(weights), weights_sha256(weights, run / FILE)}) == 4


def test_a_run_without_its_residuals_is_not_exported(exported: Exported, tmp_path: Path) -> None:
    shutil.copytree(exported[0], tmp_path / "run")
    (tmp_path / "run" / FILE).unlink()
    with pytest.raises(BundleError, match=f"{FILE}: cannot be read"):
        export_run(Config(state=str(tmp_path / "state")), tmp_path / "run")


@pytest.mark.parametrize(("tower", "name"), [("item", "residual"), ("user", "residual"), ("user", "gap")])
def test_a_graph_that_forgets_an_input_fails_the_gate(exported: Exported, tower: str, name: str) -> None:
    """The input is there and read, but times zero: shapes and specs agree, only numbers differ."""
    run, bundle = exported
    raw = {which: bundle.read(f"{which}_tower.onnx") for which in ("user", "item")}
    model = onnx.load_model_from_string(raw[tower])
    for node in model.graph.node:
        node.input[:] = ["forgotten" if each == name else each for each in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), "nothing"))
    model.graph.node.insert(0, helper.make_node("Mul", [name, "nothing"], ["forgotten"]))
    raw[tower] = model.SerializeToString()
    with pytest.raises(GateFailed, match=f"differ by .*{tower} tower"):
        check_parity(load_towers(run), raw["user"], raw["item"], LENGTH)


def test_a_run_of_before_keeps_its_id_and_loads(older: Exported) -> None:
    run, bundle = older
    named = json.loads((run / RUN_FILE).read_text())["towers"]
    assert bundle.manifest.towers == named, "the id is of what is named"
    assert open_bundle(bundle.uri).space_id == bundle.space_id
    model = load_towers(bundle.folder)
    assert not model.config.residuals
    assert load_residuals(bundle.folder) is None
    content = np.random.default_rng(0).normal(0.3, 0.1, (5, CONTENT)).astype(np.float32)
    with torch.inference_mode():
        expected = model.item(torch.from_numpy(content)).numpy()
    np.testing.assert_allclose(OnnxTowers(bundle).embed_items(content), expected, atol=1e-5)
