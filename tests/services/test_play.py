"""`play` leaves a world running in the background and takes all of it away again."""

import shutil
from pathlib import Path

import pytest
import yaml

from learn_features.config import load
from learn_features.errors import ConfigError
from learn_features.features.backfill import mark_filled
from learn_features.features.rows import open_row_store
from learn_features.features.store_file import SQLITE_STORE
from learn_features.services import play
from learn_features.services.kafka import kafka_broker
from learn_features.services.process import accepts_connections
from learn_features.streaming.topics import create_topics


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """As much of a demo's folder as the services and consumers need."""
    online = {"type": SQLITE_STORE, "path": "online.db"}
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump({"project": "p", "online_store": online}))
    with kafka_broker(tmp_path / "kafka") as broker:
        kafka = {"bootstrap_servers": broker.bootstrap_servers}
        settings = {"feature_store": "feature_store.yaml", "state": "state", "kafka": kafka}
        (tmp_path / "learn.yaml").write_text(yaml.safe_dump(settings))
        (tmp_path / "summary.json").write_text("{}")
        config = load(tmp_path / "learn.yaml")
        create_topics(config, partitions=1)
    mark_filled(open_row_store(config))
    return tmp_path


def test_start_status_stop(world: Path) -> None:
    up = play.start(world)
    try:
        assert play.running(world) == up == play.start(world)
        assert accepts_connections(int(up.bootstrap_servers.rsplit(":", 1)[1]))
        ports = [int(address.split(":")[2].split("/")[0]) for address in up.metrics.values()]
        assert len(ports) == 2
        assert all(map(accepts_connections, ports))
    finally:
        assert play.stop(world)
    assert play.running(world) is None
    assert not accepts_connections(int(up.bootstrap_servers.rsplit(":", 1)[1]))
    assert not any(map(accepts_connections, ports))
    assert not play.stop(world)


def test_without_a_demo_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make demo"):
        play.start(tmp_path / "nothing here")


def test_a_stale_state_file_is_not_taken_for_a_running_play(tmp_path: Path) -> None:
    (tmp_path / "play.json").write_text('{"pid": 1, "bootstrap_servers": "x:1", "metrics": {}}')
    assert play.running(tmp_path) is None
    shutil.rmtree(tmp_path)
    assert play.running(tmp_path) is None
