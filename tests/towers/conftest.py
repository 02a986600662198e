import pytest
import torch

from learn_features.towers.config import TowerConfig
from learn_features.towers.model import Towers

VARIANTS = ("sequence", "single", "content", "projection")


@pytest.fixture
def make_towers():
    """Small towers of a variant in inference mode, every weight random (also those that start at 0)."""

    def make(variant: str = "projection", seed: int = 0, **changes) -> Towers:
        torch.manual_seed(seed)
        dimension = 12 if variant == "content" else 8
        small = {
            "content_dimension": 12, "dimension": dimension, "width": 16, "heads": 2, "feedforward": 24,
            "item_hidden": 10, "item_variant": variant, "max_length": 6,
        }  # fmt: skip
        towers = Towers(TowerConfig(**{**small, **changes})).eval()
        with torch.no_grad():
            for parameter in towers.user.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        towers.fit_input(torch.randn(50, 12) * 3 + 1)
        return towers

    return make
