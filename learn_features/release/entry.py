"""What command line and entry scripts do with a run's folder."""

import json
import math
from pathlib import Path
from typing import Any

from learn_features.config import Config
from learn_features.contracts.manifest import ITEM_TOWER_FILE, USER_TOWER_FILE, ParityReport
from learn_features.contracts.run_files import EVALUATION_FILE
from learn_features.errors import DataError
from learn_features.release.bundle import Bundle, open_bundle
from learn_features.release.export import MANIFEST_METHOD, export_run
from learn_features.release.parity import check_parity
from learn_features.towers.weights import load_towers


def export_folder(config: Config, run_folder: Path, evaluation_file: Path | None = None) -> Bundle:
    """Export and publish a run with the evaluation in `evaluation_file`, else in its folder if any."""
    file = evaluation_file or run_folder / EVALUATION_FILE
    evaluation: dict[str, Any] | None = None
    if evaluation_file is not None or file.exists():
        evaluation = _evaluation(file)
    return open_bundle(export_run(config, run_folder, evaluation))


def _evaluation(file: Path) -> dict[str, Any]:
    """What `evaluate` wrote to `file`; `DataError` where it is not that."""
    try:
        found = json.loads(file.read_text(), parse_int=float)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: is no evaluation: {error}") from None
    methods = found.get("methods") if isinstance(found, dict) else None
    figures = methods.get(MANIFEST_METHOD) if isinstance(methods, dict) else None
    if not (
        isinstance(methods, dict) and isinstance(figures, dict) and figures and "weights_sha256" in found
    ):
        raise DataError(
            f"{file}: is no evaluation: weights_sha256, or figures of methods.{MANIFEST_METHOD}, are missing;"
            " run `learn-features evaluate` again"
        )
    served = {"as_served": found["as_served"]} if "as_served" in found else {}
    for method, values in {**methods, **served}.items():
        broken = not isinstance(values, dict) or any(
            isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
            for value in values.values()
        )
        if broken:
            raise DataError(
                f"{file}: is no evaluation: not every figure of methods.{method} is a finite number;"
                " run `learn-features evaluate` again"
            )
    return found


def recheck_parity(uri: str) -> ParityReport:
    """Check a published bundle's ONNX files against its own weights under torch; `GateFailed`."""
    bundle = open_bundle(uri)
    towers = load_towers(bundle.folder)
    user, item = bundle.read(USER_TOWER_FILE), bundle.read(ITEM_TOWER_FILE)
    return check_parity(towers, user, item, bundle.manifest.history.max_length)
