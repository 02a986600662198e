import numpy as np
import pytest

from learn_features.config import Config, TrainingConfig
from learn_features.data.sequences import Sequences
from learn_features.training.train import train
from tests.training.dataset import write_data


@pytest.fixture
def make_sequences():
    """Sequences from lists of items, and of times in seconds where they are not 0, 1, 2, …"""

    def make(items: list[list[int]], times: list[list[int]] | None = None) -> Sequences:
        times = times or [list(range(len(own))) for own in items]
        offsets = np.concatenate([[0], np.cumsum([len(own) for own in items])]).astype(np.int64)
        return Sequences(
            user_ids=[f"u{i}" for i in range(len(items))],
            offsets=offsets,
            items=np.array([item for own in items for item in own], dtype=np.int32),
            times_us=np.array([moment * 1_000_000 for own in times for moment in own], dtype=np.int64),
        )

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Settings, a folder with `data` and a trained `run`, and what its training reported."""
    base = tmp_path_factory.mktemp("training")
    config = Config(state=str(base / "state"), training=TrainingConfig(epochs=2))
    write_data(base / "data")
    report = train(config, base / "data", base / "run")
    return config, base, report
