"""A training run in MLflow where MLFLOW_TRACKING_URI is set: params, curves, artefacts.

A run that goes on from a checkpoint goes on in the same MLflow run. A server that fails while towers train
costs curves, never the training.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learn_features.config import TRACKING_VARIABLE
from learn_features.errors import ConfigError, MissingDependency
from learn_features.training.curves import Epoch, Point
from learn_features.training.run import write_whole

NOTE_FILE = "mlflow.json"
"""In the checkpoint's folder: which MLflow run this is."""

_BATCH = 1000
"""Metrics that MLflow takes at once."""

log = logging.getLogger(__name__)


class Tracker:
    """An MLflow run that has begun."""

    def __init__(self, mlflow: Any, run_id: str) -> None:
        self._mlflow, self._run_id = mlflow, run_id

    def epoch(self, epoch: Epoch) -> None:
        """Log `<phase>/loss`, `<phase>/recall_at_10` … at the epoch's number."""
        values = {"loss": epoch.loss, "learning_rate": epoch.learning_rate, **epoch.validation}
        with self._forgiving():
            named = {f"{epoch.phase}/{name}": value for name, value in values.items()}
            self._mlflow.log_metrics(named, step=epoch.epoch, run_id=self._run_id)

    def finish(self, points: list[Point], files: list[Path]) -> None:
        """Log `<phase>/step_loss` and the run's files."""
        from mlflow.entities import Metric

        metrics = [Metric(f"{p.phase}/step_loss", p.loss, 0, p.step) for p in points]
        with self._forgiving():
            client = self._mlflow.MlflowClient()
            for start in range(0, len(metrics), _BATCH):
                client.log_batch(self._run_id, metrics=metrics[start : start + _BATCH])
            for file in files:
                client.log_artifact(self._run_id, str(file))

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            log.warning("MLflow did not take what was logged: %s", error)


@contextmanager
def tracking(
    uri: str | None, name: str, note_folder: Path, params: Mapping[str, Any]
) -> Iterator[Tracker | None]:
    """An MLflow run called `name` with `params` (nested ones as `recipe.epochs`), or None without `uri`.

    It ends as FAILED if what is done meanwhile raises. The experiment is MLflow's own setting
    (MLFLOW_EXPERIMENT_NAME). Raises `MissingDependency` without MLflow, `ConfigError` if `uri` cannot be
    used.
    """
    if not uri:
        yield None
        return
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        import mlflow
    except ImportError:
        raise MissingDependency(
            f"{TRACKING_VARIABLE} is set, but MLflow is not installed: pip install 'learn-features[mlflow]',"
            " or unset it"
        ) from None
    from mlflow.exceptions import MlflowException

    note = note_folder / NOTE_FILE
    try:
        mlflow.set_tracking_uri(uri)
        run = mlflow.start_run(run_id=_noted(note, uri), run_name=name)
        mlflow.log_params(_flat(params))
    except (MlflowException, OSError, ImportError) as error:
        raise ConfigError(f"{TRACKING_VARIABLE} {uri}: cannot be used: {error}") from None
    note_folder.mkdir(parents=True, exist_ok=True)
    write_whole(note, json.dumps({"uri": uri, "run": run.info.run_id}))
    status = "FAILED"
    try:
        yield Tracker(mlflow, run.info.run_id)
        status = "FINISHED"
    finally:
        mlflow.end_run(status)


def _noted(note: Path, uri: str) -> str | None:
    """The MLflow run that this training began, if at the same place."""
    try:
        noted = json.loads(note.read_text())
        return str(noted["run"]) if noted["uri"] == uri else None
    except (OSError, ValueError, KeyError):
        return None


def _flat(params: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = value
    return flat
