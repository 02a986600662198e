import itertools

import pytest

from tests.streaming.world import StreamWorld, build_bundle


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """Two tiny spaces of one encoder and one history rule."""
    folder = tmp_path_factory.mktemp("bundles")
    return [build_bundle(folder, seed) for seed in (1, 2)]


@pytest.fixture
def make_world(tmp_path, broker, redis):
    """Stream worlds on `sqlite` or `redis`."""
    number = itertools.count()

    def make(kind: str = "sqlite", partitions: int = 2) -> StreamWorld:
        url = redis.url if kind == "redis" else None
        return StreamWorld.create(
            tmp_path / f"world{next(number)}", broker.bootstrap_servers, url, partitions
        )

    return make
