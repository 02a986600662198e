"""One Apache Kafka node (KRaft: broker and controller in one process) in a folder of its own."""

import base64
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from learn_features.errors import ServiceError
from learn_features.services import jars
from learn_features.services.process import free_port, remembered_port, supervised, tail

_HEAP = "-Xmx512m"
_STORE_DELETES_AFTER_MS = 1000


@dataclass(frozen=True)
class Broker:
    """A running broker."""

    bootstrap_servers: str
    pid: int
    """The supervisor's; SIGTERM to it ends the broker."""
    folder: Path


@contextmanager
def kafka_broker(folder: str | Path, port: int | None = None) -> Iterator[Broker]:
    """Run a broker on 127.0.0.1 with its data in `folder` until the block is left or this process ends.

    Without `port`: the one it had in this folder before if that is free, else any free one. Started
    again in the same folder it has its topics, records and group offsets. Raises `ServiceError`.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    port = port or remembered_port(folder / "port")
    properties, log = folder / "server.properties", folder / "broker.log"
    properties.write_text(_properties(folder, port, free_port()))
    java = [str(jars.java()), _HEAP, "-cp", jars.classpath()]
    if not (folder / "data" / "meta.properties").exists():
        _format(java, properties, log)
    command = [*java, "kafka.Kafka", str(properties)]
    with supervised("Kafka", command, log, lambda: _answers(port)) as supervisor:
        yield Broker(f"127.0.0.1:{port}", supervisor.pid, folder)


def _properties(folder: Path, port: int, controller_port: int) -> str:
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": folder / "data",
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "log.retention.hours": -1,
        "log.segment.delete.delay.ms": _STORE_DELETES_AFTER_MS,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _format(java: list[str], properties: Path, log: Path) -> None:
    cluster_id = "-"
    while cluster_id.startswith("-"):  # the tool would take it for an option
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    with log.open("ab") as output:
        done = subprocess.run(
            [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode != 0:
        raise ServiceError(f"Kafka's storage in {properties.parent} cannot be formatted:\n{tail(log)}")


def _answers(port: int) -> bool:
    """Whether the broker tells its own metadata; an open port alone comes too early."""
    from kafka.admin import KafkaAdminClient
    from kafka.errors import KafkaError

    from learn_features.services.process import accepts_connections

    if not accepts_connections(port):
        return False
    try:
        client = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}", bootstrap_timeout_ms=2000)
    except (KafkaError, OSError):
        time.sleep(0.1)
        return False
    try:
        client.list_topics()
    except (KafkaError, OSError):
        return False
    finally:
        client.close()
    return True
