"""Start a service under a supervisor, wait until it answers, stop it again."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from learn_features.errors import ServiceError

_SUPERVISOR = "learn_features.services.supervisor"
_LOG_TAIL_LINES = 15
_POLL_SECONDS = 0.05
_STOP_SECONDS = 20.0


@contextmanager
def supervised(
    name: str, command: Sequence[str], log: Path, ready: Callable[[], bool], within_seconds: float = 60.0
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` until the block is left, or this process ends in whatever way.

    Standard output and error go to the end of `log`. Raises `ServiceError` with the log's last lines
    when the command ends, or is not `ready` within the given time.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    control, held = os.pipe()
    try:
        with log.open("ab") as output:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", _SUPERVISOR, str(control), str(os.getpid()), "--", *command],
                pass_fds=(control,),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    finally:
        os.close(control)
    try:
        _wait_until_ready(name, supervisor, log, ready, within_seconds)
        yield supervisor
    finally:
        os.close(held)
        try:
            supervisor.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()


def accepts_connections(port: int) -> bool:
    """Whether something listens on 127.0.0.1:`port`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def free_port(preferred: int | None = None) -> int:
    """`preferred` if nobody has it, else any port of 127.0.0.1 that is free now."""
    for candidate in (preferred, 0) if preferred else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServiceError("no free port on 127.0.0.1")


def remembered_port(file: Path) -> int:
    """The port noted in `file` if it is still free, else a free one, which is noted.

    A service that is started again in its folder keeps its address, so that settings stay true.
    """
    noted = int(file.read_text()) if file.exists() else None
    port = free_port(noted)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(str(port))
    return port


def tail(log: Path) -> str:
    """The last lines of a log, indented."""
    lines = log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:] if log.exists() else []
    return "\n".join(f"  {line}" for line in lines) or "  (the log is empty)"


def _wait_until_ready(
    name: str, supervisor: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool], seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if supervisor.poll() is not None:
            raise ServiceError(
                f"{name} ended at its start (exit {supervisor.returncode}); {log} says:\n{tail(log)}"
            )
        if time.monotonic() > deadline:
            raise ServiceError(f"{name} does not answer after {seconds:.0f} s; {log} says:\n{tail(log)}")
        time.sleep(_POLL_SECONDS)
