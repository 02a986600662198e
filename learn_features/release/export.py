"""A training run → a published bundle: the one way towers reach serving."""

import logging
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from learn_features.config import Config
from learn_features.contracts import manifest as m
from learn_features.contracts.manifest import Manifest
from learn_features.contracts.run_files import RUN_WEIGHTS_FILE
from learn_features.durable import sha256_of
from learn_features.errors import BundleError
from learn_features.evaluation.written import TOWERS
from learn_features.release import towers_onnx
from learn_features.release.bundle import open_bundle, publish
from learn_features.release.parity import check_parity
from learn_features.towers.identity import space_id as space_of
from learn_features.towers.identity import weights_sha256
from learn_features.towers.weights import describe, load_residuals, load_towers, towers_as_written
from learn_features.training.run import TrainingRun, read_run

_log = logging.getLogger(__name__)


def export_run(config: Config, run_folder: str | Path, evaluation: Mapping[str, Any] | None = None) -> str:
    """Export the run's towers to ONNX, check them against torch, publish; the bundle's URI.

    `evaluation`: what `evaluation.run.evaluate_run` returned; its metrics enter the manifest. If the
    space is published already, nothing is exported, and it keeps its metrics. Raises `GateFailed` (parity),
    `BundleError` (run, or an evaluation of other weights).
    """
    run_folder = Path(run_folder)
    run = read_run(run_folder)
    weights = run_folder / RUN_WEIGHTS_FILE
    residuals = run_folder / m.RESIDUALS_FILE if load_residuals(run_folder) is not None else None
    digest = weights_sha256(weights, residuals)
    towers_config = towers_as_written(run_folder, describe(run_folder))
    space_id = space_of(run.encoder, run.history, towers_config, digest)
    uri = f"{config.bundles}/{space_id}"
    if _published(uri):
        bundle = open_bundle(uri)
        if evaluation is not None and _metrics(run, evaluation) != bundle.manifest.metrics:
            _log.warning("%s: was published before, and keeps the metrics that it had then", bundle.uri)
        return bundle.uri
    if evaluation is not None and evaluation.get("weights_sha256") != digest:
        raise BundleError(
            f"{run_folder}: the evaluation is of other weights than are there now, or of an older "
            f"release; run `learn-features evaluate DATA {run_folder}` again"
        )

    staged = _staging_folder(config, space_id)
    try:
        towers = load_towers(run_folder)
        shutil.copyfile(weights, staged / m.WEIGHTS_FILE)
        if residuals is not None:
            shutil.copyfile(residuals, staged / m.RESIDUALS_FILE)
        if weights_sha256(staged / m.WEIGHTS_FILE, residuals and staged / m.RESIDUALS_FILE) != digest:
            raise BundleError(f"{weights}: changed while it was exported; is a training still running there?")
        user_onnx = towers_onnx.user_tower_onnx(towers, space_id)
        item_onnx = towers_onnx.item_tower_onnx(towers, space_id)
        parity = check_parity(towers, user_onnx, item_onnx, run.history.max_length)
        (staged / m.USER_TOWER_FILE).write_bytes(user_onnx)
        (staged / m.ITEM_TOWER_FILE).write_bytes(item_onnx)
        manifest = Manifest(
            space_id=space_id,
            encoder=run.encoder,
            history=run.history,
            towers=towers_config,
            weights_sha256=digest,
            dimension=run.towers.dimension,
            user_tower=towers_onnx.user_tower_spec(run.towers),
            item_tower=towers_onnx.item_tower_spec(run.towers),
            residual_dimension=None if residuals is None else run.towers.dimension,
            data_cutoff=run.data_cutoff,
            trained_until=run.trained_until,
            split=run.split,
            metrics=_metrics(run, evaluation),
            parity=parity,
            parent=run.parent,
            created_at=datetime.now(UTC),
            files={file.name: sha256_of(file) for file in staged.iterdir()},
        )
        (staged / m.MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1) + "\n")
        publish(staged, uri)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return uri


def _published(uri: str) -> bool:
    filesystem, path = fsspec.core.url_to_fs(uri)
    return bool(filesystem.exists(f"{path}/{m.MANIFEST_FILE}"))


def _staging_folder(config: Config, space_id: str) -> Path:
    """A fresh folder on the file system of the bundles, where they are local, so that it can be renamed."""
    filesystem, path = fsspec.core.url_to_fs(config.bundles)
    parent: Path | None = None
    if isinstance(filesystem, LocalFileSystem):
        parent = Path(path)
        parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{space_id}.", dir=parent))
    folder.chmod(0o755)
    return folder


def _metrics(run: TrainingRun, evaluation: Mapping[str, Any] | None) -> dict[str, float]:
    """`recall_at_10` … of the towers as they are served, `popularity.recall_at_10` … of the rest,
    `validation.…`; `mask_history` 1 where what a user had taken was not asked for, `validation.flatters` 1
    where the parent was trained on some of the validation cases."""
    found = evaluation or {}
    metrics = {f"validation.{name}": float(value) for name, value in run.validation.items()}
    metrics |= {"validation.flatters": 1.0} if run.validation_flatters else {}
    metrics |= {name: float(found[name]) for name in ("test_users", "mask_history") if name in found}
    methods = dict(found.get("methods", {}))
    methods |= {TOWERS: found["as_served"]} if "as_served" in found else {}
    for method, values in methods.items():
        prefix = "" if method == TOWERS else f"{method}."
        metrics |= {f"{prefix}{name}": float(value) for name, value in values.items()}
    return metrics
