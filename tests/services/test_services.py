"""Local services live exactly as long as whoever started them, and keep their data."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from learn_features.errors import ServiceError
from learn_features.services import jars
from learn_features.services.kafka import Broker, kafka_broker
from learn_features.services.process import accepts_connections, free_port, supervised
from learn_features.services.redis import redis_server

STARTER = """
import sys, time
from learn_features.services.redis import redis_server
with redis_server(sys.argv[1]) as server:
    print(server.url, flush=True)
    time.sleep(60)
"""


def wait_for(condition: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1].split("/")[0])


def test_redis_keeps_data_and_port_over_a_restart(tmp_path: Path) -> None:
    import redis

    with redis_server(tmp_path) as first:
        redis.Redis.from_url(first.url).set("key", "value")
    assert not accepts_connections(port_of(first.url))
    with redis_server(tmp_path) as second:
        assert second.url == first.url
        assert redis.Redis.from_url(second.url).get("key") == b"value"


def test_redis_is_gone_after_kill_9_of_its_starter(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    port = port_of(starter.stdout.readline())
    assert accepts_connections(port)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    assert wait_for(lambda: not accepts_connections(port))
    starter.stdout.close()


def test_redis_is_gone_after_kill_9_of_its_supervisor(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        os.kill(server.pid, signal.SIGKILL)
        assert wait_for(lambda: not accepts_connections(port_of(server.url)))


def test_failure_shows_the_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such luck')"]
    log = tmp_path / "thing.log"
    with pytest.raises(ServiceError, match="no such luck"), supervised("Thing", command, log, lambda: False):
        pass


def test_slow_start_is_an_error_and_leaves_nothing_running(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    thing = supervised("Thing", command, tmp_path / "thing.log", lambda: False, 1.0)
    with pytest.raises(ServiceError, match="does not answer"), thing:
        pass
    assert wait_for(lambda: not accepts_connections(port))


def test_broker_keeps_topics_and_port_over_a_restart(tmp_path: Path) -> None:
    from kafka.admin import KafkaAdminClient

    with kafka_broker(tmp_path) as first:
        admin = KafkaAdminClient(bootstrap_servers=first.bootstrap_servers)
        admin.create_topics({"kept": {"num_partitions": 2, "replication_factor": 1}})
        admin.close()
    with kafka_broker(tmp_path) as second:
        assert second.bootstrap_servers == first.bootstrap_servers
        admin = KafkaAdminClient(bootstrap_servers=second.bootstrap_servers)
        assert "kept" in admin.list_topics()
        admin.close()


def test_jars_are_the_pinned_ones_and_the_second_call_needs_no_network(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jgo", None)
    paths = [Path(path) for path in jars.classpath().split(":")]
    assert len(paths) == len(jars.COORDINATES.read_text().split()) == 46
    assert all(path.is_file() for path in paths)
    assert (jars.tools_folder()) in paths[0].parents
