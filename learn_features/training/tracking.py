"""A training run in MLflow where MLFLOW_TRACKING_URI is set: params, curves, artefacts.

A run that goes on from a checkpoint goes on in the same MLflow run. A server that fails while towers train
costs curves, never the training, and soon no time either; a run that was deleted meanwhile gives way to a new
one. Nothing that is printed or written has a secret of the address.
"""

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learn_features.config import TRACKING_VARIABLE
from learn_features.durable import write_text
from learn_features.errors import ConfigError, MissingDependency
from learn_features.training.curves import Epoch, Point

NOTE_FILE = "mlflow.json"
"""In the checkpoint's folder: which MLflow run this is."""

DEFAULT_EXPERIMENT = "learn-features"

GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""MLflow's error codes for a run that was purged, and for one that was deleted."""

TIMEOUT_SECONDS = 10
"""For an answer of a server; MLflow's own 120, tried four times, would hold up every epoch."""

GIVEN_UP = 3
"""Failures one after the other, after which epochs are no longer sent; the end of the training is."""

_BATCH = 1000
"""Metrics that MLflow takes at once."""

log = logging.getLogger(__name__)


class Tracker:
    """An MLflow run that has begun."""

    def __init__(self, client: Any, uri: str, run_id: str) -> None:
        self._client, self._uri, self._run_id = client, uri, run_id
        self._failures = 0

    def note_in(self, folder: Path) -> None:
        """Write down in `folder` which MLflow run this is, for a training that goes on."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / NOTE_FILE, json.dumps({"uri": _address(self._uri), "run": self._run_id}))

    def epoch(self, epoch: Epoch) -> None:
        """Log `<phase>/loss`, `<phase>/recall_at_10` … at the epoch's number, unless given up."""
        if self._failures >= GIVEN_UP:
            return
        values = {"loss": epoch.loss, "learning_rate": epoch.learning_rate, **epoch.validation}
        self._log([(f"{epoch.phase}/{name}", value, epoch.epoch) for name, value in values.items()])

    def finish(self, points: Sequence[Point], files: Sequence[Path]) -> None:
        """Log `<phase>/step_loss` and the run's files."""
        self._log([(f"{point.phase}/step_loss", point.loss, point.step) for point in points])
        with self._forgiving():
            for file in files:
                self._client.log_artifact(self._run_id, str(file))

    def end(self, status: str) -> None:
        with self._forgiving():
            self._client.set_terminated(self._run_id, status)

    def _log(self, values: Sequence[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with self._forgiving():
            for start in range(0, len(values), _BATCH):
                metrics = [Metric(name, value, now, step) for name, value, step in values[start:][:_BATCH]]
                self._client.log_batch(self._run_id, metrics=metrics)

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
            self._failures = 0
        except Exception as error:  # MLflow's stores raise their drivers' errors, and Exception itself
            self._failures += 1
            left = "; no more epochs are sent" if self._failures == GIVEN_UP else ""
            log.warning("MLflow did not take what was logged: %s%s", _said(error, self._uri), left)


@contextmanager
def tracking(
    uri: str | None, name: str, noted_in: Path | None, params: Mapping[str, Any]
) -> Iterator[Tracker | None]:
    """An MLflow run called `name` with `params` (nested ones as `recipe.epochs`), or None without `uri`.

    The run that is noted in the folder `noted_in` goes on; None: there is none that should.
    It ends as FAILED if what is done meanwhile raises. The experiment is MLflow's own setting
    (MLFLOW_EXPERIMENT_NAME). Raises `MissingDependency` without MLflow, `ConfigError` if `uri` cannot be
    used.
    """
    if not uri:
        yield None
        return
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # the default of 7 waits for minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(TIMEOUT_SECONDS))
    try:
        from mlflow import MlflowClient
    except ImportError:
        raise MissingDependency(
            f"{TRACKING_VARIABLE} is set, but MLflow is not installed: pip install 'learn-features[mlflow]',"
            " or unset it"
        ) from None

    try:
        client = MlflowClient(uri)  # a client of its own: MLflow's module-level calls change the environment
        run_id = _begun(client, _noted(noted_in / NOTE_FILE, uri) if noted_in else None, name)
        values = [_param(key, value) for key, value in _flat(params).items()]
        client.log_batch(run_id, params=values)
    except Exception as error:  # MLflow's stores raise their drivers' errors
        reason = _said(error, uri).partition("\n")[0]
        raise ConfigError(f"{TRACKING_VARIABLE} {_address(uri)}: cannot be used: {reason}") from None
    tracker, status = Tracker(client, uri, run_id), "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    finally:
        tracker.end(status)


def _said(error: Exception, uri: str) -> str:
    """What `error` says, without what addresses in it have before their host or after their path."""
    text = str(error).replace(uri, _address(uri))
    return re.sub(r"(://)\S*@|(\?)[^\s'\")]+", r"\1\2", text)


def _address(uri: str) -> str:
    """`uri` without the same, whatever a password is made of."""
    return re.sub(r"(://).*@|(\?).*", r"\1\2", uri, flags=re.DOTALL)


def _begun(client: Any, run_id: str | None, name: str) -> str:
    """The run `run_id`, going on, or a new one in the experiment that is set, where it was deleted."""
    from mlflow.environment_variables import MLFLOW_EXPERIMENT_NAME
    from mlflow.exceptions import MlflowException

    if run_id is not None:
        try:
            client.update_run(run_id, status="RUNNING")
            return run_id
        except MlflowException as error:
            if error.error_code not in GONE:
                raise
            log.warning("MLflow run %s was deleted, another one begins", run_id)
    experiment_name = MLFLOW_EXPERIMENT_NAME.get() or DEFAULT_EXPERIMENT
    experiment = client.get_experiment_by_name(experiment_name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(experiment_name)
    return str(client.create_run(experiment_id, run_name=name).info.run_id)


def _param(name: str, value: Any) -> Any:
    from mlflow.entities import Param

    return Param(name, str(value))


def _noted(note: Path, uri: str) -> str | None:
    """The MLflow run that this training began, if at the same place."""
    try:
        noted = json.loads(note.read_text())
        return str(noted["run"]) if noted["uri"] == _address(uri) else None
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
