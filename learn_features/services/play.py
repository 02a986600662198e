"""A demo's world left running: its broker, its Redis if it has one, and the two consumers.

`start` leaves one process behind, which owns the services; `stop` ends it by its pid. The world is the
folder of a demo: learn.yaml, kafka/, and redis/ where the online store is Redis.
"""

import contextlib
import http
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

from learn_features.config import CONFIG_VARIABLE
from learn_features.errors import ConfigError, ServiceError
from learn_features.services.kafka import kafka_broker
from learn_features.services.process import free_port, supervised, tail
from learn_features.services.redis import redis_server

SERVERS_VARIABLE = "LEARN_KAFKA__BOOTSTRAP_SERVERS"
_METRICS_VARIABLE = "LEARN_SERVICE__METRICS_PORT"
_MODULE = "learn_features.services.play"
_STATE, _LOG = "play.json", "logs/play.log"
_START_SECONDS, _CONSUMER_SECONDS, _STOP_SECONDS = 150.0, 90.0, 60.0
_POLL_SECONDS = 0.1


class Play(NamedTuple):
    """What runs, and where."""

    pid: int
    bootstrap_servers: str
    metrics: dict[str, str]
    """Consumer → address of its /metrics."""


def running(folder: Path) -> Play | None:
    """The play of this world if it is up."""
    try:
        play = Play(**json.loads((folder / _STATE).read_text()))
        command = Path(f"/proc/{play.pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, TypeError):
        return None
    return play if _MODULE.encode() in command else None


def start(folder: Path) -> Play:
    """Bring the world up, unless it is, and return once the consumers are at work."""
    folder = folder.resolve()
    if not (folder / "summary.json").exists():
        raise ConfigError(
            f"{folder}: no demo has finished there yet; `make demo` first, or name another with --out"
        )
    up = running(folder)
    if up is not None:
        return up
    (folder / _STATE).unlink(missing_ok=True)
    log = folder / _LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while (up := running(folder)) is None:
        if process.poll() is not None:
            raise ServiceError(f"play did not start; {log} says:\n{tail(log)}")
        if time.monotonic() > deadline:
            process.terminate()
            raise ServiceError(f"play does not answer after {_START_SECONDS:.0f} s; {log} says:\n{tail(log)}")
        time.sleep(_POLL_SECONDS)
    return up


def stop(folder: Path) -> bool:
    """End the play of this world; whether there was one."""
    play = running(folder.resolve())
    if play is None:
        return False
    os.kill(play.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while running(folder.resolve()) is not None:
        if time.monotonic() > deadline:
            raise ServiceError(f"play (pid {play.pid}) does not end; see {folder / _LOG}")
        time.sleep(_POLL_SECONDS)
    return True


def _run(folder: Path) -> None:
    """Own the services until SIGTERM, or until one of them ends."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    state = folder / _STATE
    with contextlib.ExitStack() as stack:
        stack.callback(state.unlink, missing_ok=True)  # last of all: whoever waits for it finds all gone
        broker = stack.enter_context(kafka_broker(folder / "kafka"))
        if (folder / "redis").exists():
            port = int((folder / "redis" / "port").read_text())
            stack.enter_context(redis_server(folder / "redis", port))
        children, metrics = [], {}
        for kind in ("items", "interactions"):
            port = free_port()
            variables = {
                CONFIG_VARIABLE: folder / "learn.yaml",
                SERVERS_VARIABLE: broker.bootstrap_servers,
                _METRICS_VARIABLE: port,
            }
            command = ["/usr/bin/env", *(f"{name}={value}" for name, value in variables.items())]
            command += [sys.executable, "-m", "learn_features.cli.main", "consume", kind]
            log = folder / "logs" / f"consumer-{kind}.log"
            children.append(
                stack.enter_context(
                    supervised(
                        f"consumer of {kind}", command, log, partial(_answers, port), _CONSUMER_SECONDS
                    )
                )
            )
            metrics[kind] = f"http://127.0.0.1:{port}/metrics"
        aside = state.with_suffix(".part")
        aside.write_text(json.dumps(Play(os.getpid(), broker.bootstrap_servers, metrics)._asdict()))
        aside.replace(state)
        while not ended.wait(1) and all(child.poll() is None for child in children):
            pass


def _answers(port: int) -> bool:
    """Whether the consumer on this port says that it is at work."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
