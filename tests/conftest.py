"""What every test may ask for: a real broker and a real Redis, started once a session."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from learn_features.services.kafka import Broker, kafka_broker
from learn_features.services.redis import Redis, redis_server

settings.register_profile("suite", deadline=None)  # no test depends on timing
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Tests compare bits and ranks as a CPU has them; only `-m gpu` sees a GPU, if there is one."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A Kafka broker; use topics and a consumer group of your own."""
    with kafka_broker(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis server; use a Feast project (key prefix) of your own."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running
