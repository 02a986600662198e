import pytest

from tests.streaming.world import build_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """One tiny space."""
    return build_bundle(tmp_path_factory.mktemp("fault-bundle"), 3)
