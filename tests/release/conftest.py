"""Training runs with random weights, and one published bundle."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from learn_features.config import Config
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import RESIDUALS_FILE, EncoderSpec
from learn_features.contracts.run_files import RUN_WEIGHTS_FILE
from learn_features.release.bundle import Bundle, open_bundle
from learn_features.release.export import export_run
from learn_features.towers.config import TowerConfig, tower_preset
from learn_features.towers.identity import weights_sha256
from learn_features.towers.model import Towers
from learn_features.towers.residuals import ItemResiduals
from learn_features.towers.weights import save_towers
from learn_features.training.recipe import recipe_preset
from learn_features.training.run import TrainingRun, read_run, write_run

CONTENT = 24
LENGTH = 12
ITEMS = [f"item {number}" for number in range(40)]
"""Items that a run with residuals has seen."""

MakeRun = Callable[..., Path]


def make_run(folder: Path, *, seed: int = 0, preset: str = "small", **changes: object) -> Path:
    """A finished run's folder: towers and residuals of ITEMS with random values, as training leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    towers = tower_preset(preset, content_dimension=CONTENT, max_length=LENGTH, **changes)
    model = Towers(towers)
    model.fit_input(0.3 + 0.1 * torch.randn(200, CONTENT))
    if model.user.example_age is not None:
        torch.nn.init.normal_(model.user.example_age.steps)  # zeros say nothing
    if model.item.similar is not None:
        model.item.similar.fill(torch.randn(20, CONTENT), torch.randn(20, towers.dimension))
        model.item.similar.strength.fill_(2.0)
    save_towers(model.eval(), folder / RUN_WEIGHTS_FILE)
    if towers.residuals:
        table = np.random.default_rng(seed).normal(size=(len(ITEMS), towers.dimension))
        ItemResiduals.of(ITEMS, table.astype(np.float32)).save(folder / RESIDUALS_FILE)
    residuals = folder / RESIDUALS_FILE if towers.residuals else None
    write_run(folder, run_about(towers, preset, seed, weights_sha256(folder / RUN_WEIGHTS_FILE, residuals)))
    return folder


def run_about(towers: TowerConfig, preset: str, seed: int, digest: str) -> TrainingRun:
    return TrainingRun(
        encoder=EncoderSpec(model="test", revision="1", template="{title}", dimension=CONTENT),
        history=HistoryRule(max_length=LENGTH),
        towers=towers,
        preset=preset,
        recipe=recipe_preset(preset),
        seed=seed,
        split="global_time",
        data_cutoff=datetime(2026, 1, 2, tzinfo=UTC),
        trained_until=datetime(2026, 1, 1, tzinfo=UTC),
        users=1,
        users_skipped=0,
        items=1,
        interactions=1,
        epochs=1,
        best_epoch=1,
        loss=1.0,
        validation={"recall_at_10": 0.25},
        validation_flatters=True,
        seconds=1.0,
        digests={"data": "d", "content": "c", "parent": None},
        weights_sha256=digest,
    )


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path, Bundle]:
    """Settings, the run's folder and its bundle; for tests that only read."""
    folder = tmp_path_factory.mktemp("release")
    config = Config(state=str(folder / "state"))
    run = make_run(folder / "run")
    evaluation = {
        "weights_sha256": read_run(run).weights_sha256,
        "test_users": 20,
        "mask_history": True,
        "methods": {"towers": {"recall_at_10": 0.5}, "popularity": {"recall_at_10": 0.1}},
        "as_served": {"recall_at_10": 0.4},
    }
    return config, run, open_bundle(export_run(config, run, evaluation))
