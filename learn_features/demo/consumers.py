"""The two consumers as separate processes that end with the demo, and can be killed and started again."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from learn_features.config import CONFIG_VARIABLE
from learn_features.services.process import free_port, supervised

Kind = Literal["items", "interactions"]
KINDS: tuple[Kind, ...] = ("items", "interactions")

CONSUME = (sys.executable, "-m", "learn_features.cli.main", "consume")
_START_SECONDS = 90.0


class Consumers:
    """Runs `learn-features consume …` under supervision; use as a context manager."""

    def __init__(self, config_file: Path, logs: Path) -> None:
        self._config_file = config_file
        self._logs = logs
        self._running: dict[Kind, tuple[ExitStack, subprocess.Popen[bytes]]] = {}

    def __enter__(self) -> "Consumers":
        return self

    def __exit__(self, *exc: object) -> None:
        for kind in list(self._running):
            self.stop(kind)

    def start(self, kind: Kind) -> None:
        """Start a consumer and wait until it is ready. Raises `ServiceError` with its log's end."""
        port = free_port()
        command = [
            "/usr/bin/env",
            f"{CONFIG_VARIABLE}={self._config_file}",
            f"LEARN_SERVICE__METRICS_PORT={port}",
            *CONSUME,
            kind,
        ]
        stack = ExitStack()
        supervisor = stack.enter_context(
            supervised(
                f"consumer of {kind}",
                command,
                self._logs / f"consumer-{kind}.log",
                lambda: _ready(port),
                _START_SECONDS,
            )
        )
        self._running[kind] = (stack, supervisor)

    def stop(self, kind: Kind) -> None:
        """End a consumer with SIGTERM: it finishes its batch, flushes and commits."""
        stack, _ = self._running.pop(kind)
        stack.close()

    def kill(self, kind: Kind) -> None:
        """SIGKILL: its supervisor dies, and the kernel kills the consumer with it (PDEATHSIG)."""
        stack, supervisor = self._running.pop(kind)
        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()
        stack.close()


def _ready(port: int) -> bool:
    """Whether the consumer's `/readyz` says that it owns partitions and its stores answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
