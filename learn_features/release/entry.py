"""What command line and entry scripts do with a run's folder."""

from pathlib import Path

from learn_features.config import Config
from learn_features.contracts.manifest import ITEM_TOWER_FILE, USER_TOWER_FILE, ParityReport
from learn_features.contracts.run_files import EVALUATION_FILE
from learn_features.evaluation.written import read_evaluation
from learn_features.release.bundle import Bundle, open_bundle
from learn_features.release.export import export_run
from learn_features.release.parity import check_parity
from learn_features.towers.weights import load_towers


def export_folder(config: Config, run_folder: Path, evaluation_file: Path | None = None) -> Bundle:
    """Export and publish a run with the evaluation in `evaluation_file`, else in its folder if any."""
    file = evaluation_file or run_folder / EVALUATION_FILE
    evaluated = evaluation_file is not None or file.exists()
    return open_bundle(export_run(config, run_folder, read_evaluation(file) if evaluated else None))


def recheck_parity(uri: str) -> ParityReport:
    """Check a published bundle's ONNX files against its own weights under torch; `GateFailed`."""
    bundle = open_bundle(uri)
    towers = load_towers(bundle.folder)
    user, item = bundle.read(USER_TOWER_FILE), bundle.read(ITEM_TOWER_FILE)
    return check_parity(towers, user, item, bundle.manifest.history.max_length)
