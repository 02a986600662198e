import json
from pathlib import Path

import pytest
import torch

from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import RESIDUALS_FILE
from learn_features.towers.config import TowerConfig
from learn_features.towers.identity import weights_sha256
from learn_features.towers.model import Towers
from learn_features.towers.residuals import ItemResiduals
from learn_features.towers.weights import save_towers

VARIANTS = ("sequence", "single", "content", "projection")


def save_run(
    towers: Towers,
    folder: Path,
    config: TowerConfig | None = None,
    residuals: ItemResiduals | None = None,
    max_length: int = 50,
) -> None:
    """What a training run leaves of its towers."""
    weights, beside = folder / "weights.safetensors", None
    save_towers(towers, weights)
    if residuals is not None:
        beside = folder / RESIDUALS_FILE
        residuals.save(beside)
    about = {
        "towers": (config or towers.config).model_dump(),
        "history": HistoryRule(max_length=max_length).model_dump(),
        "weights_sha256": weights_sha256(weights, beside),
    }
    (folder / "run.json").write_text(json.dumps(about))


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
