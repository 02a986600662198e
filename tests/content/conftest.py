"""The real encoder, once for all tests, and settings over an empty folder."""

from pathlib import Path

import pytest

from learn_features.config import Config, EncoderConfig
from learn_features.content.encoder import Encoder, open_encoder


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return open_encoder(EncoderConfig(), device="cpu")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(state=str(tmp_path / "state"))
