"""Export and publish: parity, identity, no-op, gates."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch

from learn_features.config import Config
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import RESIDUALS_FILE
from learn_features.contracts.run_files import RUN_FILE, RUN_WEIGHTS_FILE
from learn_features.errors import BundleError, DataError, GateFailed
from learn_features.release import export as export_module
from learn_features.release import towers_onnx
from learn_features.release.bundle import Bundle, open_bundle
from learn_features.release.entry import export_folder
from learn_features.release.export import export_run
from learn_features.release.parity import check_parity
from learn_features.release.runtime import OnnxTowers
from learn_features.towers.identity import space_id, weights_sha256
from learn_features.towers.weights import load_towers
from learn_features.training.run import read_run

from .conftest import CONTENT, LENGTH, make_run

ROOT = Path(__file__).parents[2]
Published = tuple[Config, Path, Bundle]


def test_bundle_says_what_it_is(published: Published) -> None:
    config, _run, bundle = published
    manifest = bundle.manifest
    assert bundle.folder == Path(config.bundles) / manifest.space_id
    assert manifest.metrics == {
        "recall_at_10": 0.4,  # as it is served
        "popularity.recall_at_10": 0.1,
        "test_users": 20.0,
        "mask_history": 1.0,
        "validation.recall_at_10": 0.25,
        "validation.flatters": 1.0,
    }
    assert manifest.dimension == 64
    assert 0 < manifest.parity.max_abs_diff <= 1e-4
    assert manifest.parity.cases > 30


def test_publishing_again_is_a_no_op(published: Published) -> None:
    config, run, bundle = published
    before = {f: (f.stat().st_ino, f.stat().st_mtime_ns) for f in bundle.folder.iterdir()}
    assert export_run(config, run) == bundle.uri
    assert {f: (f.stat().st_ino, f.stat().st_mtime_ns) for f in bundle.folder.iterdir()} == before
    assert [f.name for f in Path(config.bundles).iterdir()] == [bundle.space_id]  # nothing left over


def test_an_evaluation_of_other_weights_is_refused(
    published: Published, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, run, bundle = published
    for other in ({"methods": {}}, {"weights_sha256": "0" * 64, "methods": {}}):
        with pytest.raises(BundleError, match=r"evaluation is of other weights .*evaluate DATA"):
            export_run(Config(state=str(tmp_path)), run, other)
        assert export_run(config, run, other) == bundle.uri  # published already: nothing is taken from it
        assert "keeps the metrics that it had then" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no JSON", "Expecting value"),
        ("[" * 100_000, "recursion"),
        (f'{{"weights_sha256": "0", "methods": {{"towers": {{"r": {"9" * 400}}}}}}}', "towers is a finite"),
        ("[]", "weights_sha256, or figures of methods.towers, are missing"),
        ('{"weights_sha256": "0", "methods": []}', "methods.towers, are missing"),
        ('{"methods": {"towers": {"recall_at_10": 0.1}}}', "weights_sha256, or"),
        (
            '{"weights_sha256": "0", "methods": {"towers": {"r": 1}, "ease": {"r": NaN}}}',
            "of methods.ease is a fin",
        ),
        (
            '{"weights_sha256": "0", "methods": {"towers": {"r": "high"}}}',
            "methods.towers is a finite number",
        ),
        (
            '{"weights_sha256": "0", "test_users": "all", "methods": {"towers": {"r": 1}}}',
            "of itself is a fin",
        ),
    ],
)
def test_what_is_no_evaluation_is_named(
    published: Published, tmp_path: Path, text: str, message: str
) -> None:
    config, run, _ = published
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(DataError, match=f"{tmp_path / 'e.json'}: is no evaluation.*{message}"):
        export_folder(config, run, tmp_path / "e.json")


def test_space_id_is_of_the_parts_only(published: Published, tmp_path: Path) -> None:
    _config, _run, bundle = published
    manifest = bundle.manifest

    def published_as(run: Path) -> str:
        towers = read_run(run).towers.model_dump(mode="json")
        digest = weights_sha256(run / RUN_WEIGHTS_FILE, run / RESIDUALS_FILE)
        return space_id(manifest.encoder, manifest.history, towers, digest)

    assert published_as(make_run(tmp_path / "same")) == bundle.space_id
    assert published_as(make_run(tmp_path / "other", seed=1)) != bundle.space_id
    parts = manifest.encoder, manifest.history, manifest.towers, manifest.weights_sha256
    assert space_id(*parts) == bundle.space_id
    ids = {
        space_id(parts[0].model_copy(update={"pooling": "cls"}), *parts[1:]),
        space_id(parts[0], HistoryRule(max_length=13), *parts[2:]),
        space_id(*parts[:2], {**manifest.towers, "temperature": 0.1}, parts[3]),
    }
    assert len(ids | {bundle.space_id}) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"preset": "paper-small", "item_variant": "sequence"},
        {"preset": "paper-small", "item_variant": "single", "shared_weights": False, "positions": "learned"},
        {"preset": "small", "item_variant": "content", "dimension": CONTENT, "residuals": False},
    ],
)
def test_every_architecture_exports(tmp_path: Path, changes: dict[str, object]) -> None:
    run = make_run(tmp_path / "run", **changes)  # type: ignore[arg-type]
    bundle = open_bundle(export_run(Config(state=str(tmp_path)), run))
    towers = load_towers(run)
    # against torch row by row without any padding: nothing that the exporter or batching could share
    random = np.random.default_rng(3)
    lengths = random.integers(1, LENGTH + 1, 23)
    content = random.normal(0.3, 0.1, (23, LENGTH, CONTENT)).astype(np.float32)
    actual = OnnxTowers(bundle).embed_users(content, lengths)
    with torch.inference_mode():
        for row, length in enumerate(lengths):
            one = towers.user(torch.from_numpy(content[row : row + 1, :length]), torch.tensor([length]))
            np.testing.assert_allclose(actual[row], one[0].numpy(), atol=1e-5)
        items = towers.item(torch.from_numpy(content[:, 0]))
    np.testing.assert_allclose(OnnxTowers(bundle).embed_items(content[:, 0]), items.numpy(), atol=1e-5)


def test_onnx_tells_nothing_of_the_machine(published: Published) -> None:
    _config, _run, bundle = published
    raw = bundle.read("user_tower.onnx")
    assert b".py" not in raw
    assert b"/work" not in raw
    assert str(Path.home()).encode() not in raw
    model = onnx.load_model_from_string(raw)
    assert {p.key: p.value for p in model.metadata_props} == {"space_id": bundle.space_id}


def test_a_frozen_length_fails_the_gate(published: Published) -> None:
    _config, run, bundle = published
    towers = load_towers(run)
    frozen = onnx.load_model_from_string(bundle.read("user_tower.onnx"))
    frozen.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    with pytest.raises(GateFailed, match="1 × 1"):
        check_parity(towers, frozen.SerializeToString(), bundle.read("item_tower.onnx"), LENGTH)


def test_other_weights_fail_the_gate(published: Published, tmp_path: Path) -> None:
    _config, _run, bundle = published
    other = load_towers(make_run(tmp_path / "other", seed=5))
    with pytest.raises(GateFailed, match="differ by"):
        check_parity(other, bundle.read("user_tower.onnx"), bundle.read("item_tower.onnx"), LENGTH)


def test_nothing_is_published_when_the_gate_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = load_towers(make_run(tmp_path / "other", seed=5))
    wrong = towers_onnx.item_tower_onnx(other, "s0")
    monkeypatch.setattr(export_module.towers_onnx, "item_tower_onnx", lambda *_: wrong)
    config = Config(state=str(tmp_path / "state"))
    with pytest.raises(GateFailed, match="item tower"):
        export_run(config, make_run(tmp_path / "run"))
    assert list(Path(config.bundles).iterdir()) == []


def test_unfinished_run_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / RUN_FILE).unlink()
    with pytest.raises(BundleError, match=r"run\.json"):
        export_run(Config(state=str(tmp_path)), run)
    run = make_run(tmp_path / "cut")
    (run / RUN_WEIGHTS_FILE).write_bytes((run / RUN_WEIGHTS_FILE).read_bytes()[:-100])
    with pytest.raises(BundleError, match="outside the file"):
        export_run(Config(state=str(tmp_path)), run)


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "export" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_entry_scripts(published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, run, bundle = published
    settings = tmp_path / "learn.yaml"
    settings.write_text(f"state: {config.state}\n")
    export, parity = _script("export_towers"), _script("check_parity")
    assert export.main(["--run", str(run), "--config", str(settings)]) == 0
    assert capsys.readouterr().out.strip() == bundle.uri
    assert parity.main(["--bundle", bundle.uri]) == 0
    assert f"{bundle.manifest.parity.max_abs_diff:.1e}" in capsys.readouterr().out
    nowhere = str(tmp_path / "nowhere")
    assert export.main(["--run", nowhere, "--config", str(settings)]) == 1
    assert parity.main(["--bundle", nowhere]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in errors] == ["error", "error"]
    command = [sys.executable, ROOT / "export" / "export_towers.py", "--help"]
    assert "--run" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
