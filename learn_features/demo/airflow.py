"""Airflow on SQLite in a folder of its own, and DAG runs in it from start to end.

Nothing of Airflow is imported here: a worker process does (see dag_worker), with its log in one file.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from learn_features.config import CONFIG_VARIABLE
from learn_features.errors import LearnFeaturesError, ServiceError

DAGS_FOLDER = Path(__file__).resolve().parents[2] / "dags"

Progress = Callable[[str, int, int], None]
"""Called with what is running, done, total."""

_PROGRESS = re.compile(r"progress ([\w .-]+?) (\d+)/(\d+)")
_TASK = re.compile(r"\[DAG TEST\] starting task_id=(\w+)")
_TAIL_LINES = 15


class DagFailed(LearnFeaturesError):
    """A task of a DAG run failed; names the DAG, the task, its error and the log."""


def airflow_environment(home: Path, config_file: Path, base: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of Airflow processes: all state below `home`, no examples, no outside calls."""
    return {
        **(os.environ if base is None else base),
        CONFIG_VARIABLE: str(config_file),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS_FOLDER),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
    }


class Airflow:
    """Use as a context manager. Starting is asynchronous: the first `run` waits for it."""

    def __init__(self, home: Path, config_file: Path, log_file: Path) -> None:
        self._home = home.resolve()
        self._environment = airflow_environment(self._home, config_file.resolve())
        self._log_file = log_file
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._runs = 0

    def __enter__(self) -> "Airflow":
        self._home.mkdir(parents=True, exist_ok=True)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._log = self._log_file.open("ab")
        # The worker migrates first, so that the demo does other work meanwhile.
        start = (
            "from airflow.utils.db import initdb; initdb(); "
            "from learn_features.demo.dag_worker import main; main()"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", start],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,
        )
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._log is not None:
            self._log.close()

    def run(self, dag_id: str, conf: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
        """Run a DAG to its end; the XCom of each task. Raises `DagFailed` with the failing task's error."""
        if self._process is None or self._process.stdin is None:
            raise ServiceError("Airflow is not started; use it as a context manager")
        self._runs += 1
        reply_file = self._home / f"reply-{self._runs}.json"
        reply_file.unlink(missing_ok=True)
        begin = self._log_file.stat().st_size
        request = {"dag": dag_id, "conf": conf, "reply": str(reply_file)}
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ServiceError(
                f"Airflow ended too early; the end of {self._log_file}:\n{self._tail()}"
            ) from None
        with self._log_file.open("rb") as log:
            log.seek(begin)
            while not reply_file.exists():
                if self._process.poll() is not None:
                    raise ServiceError(f"Airflow ended; the end of {self._log_file}:\n{self._tail()}")
                _report(log, progress)
                time.sleep(0.1)
        reply = json.loads(reply_file.read_text())
        if reply["state"] != "success":
            raise DagFailed(self._failure(dag_id, reply))
        values: dict[str, Any] = reply["values"]
        return values

    def _failure(self, dag_id: str, reply: dict[str, Any]) -> str:
        what = f"DAG {dag_id}, task {reply.get('failed_task', 'unknown')}: {reply.get('error', 'failed')}"
        if reply.get("meant_for_people"):
            return f"{what} (log: {self._log_file})"
        return f"{what}\nthe end of {self._log_file}:\n{self._tail()}"

    def _tail(self) -> str:
        with self._log_file.open(errors="replace") as log:
            return "".join(deque(log, maxlen=_TAIL_LINES))


def _report(log: IO[bytes], progress: Progress | None) -> None:
    """Pass on what the log says since the last call."""
    latest: tuple[str, int, int] | None = None
    for raw in log.readlines():
        line = raw.decode(errors="replace")
        if found := _PROGRESS.search(line):
            latest = (found[1], int(found[2]), int(found[3]))
        elif found := _TASK.search(line):
            latest = (found[1], 0, 0)
    if latest is not None and progress is not None:
        progress(*latest)
