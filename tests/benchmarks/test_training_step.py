"""The smoke run; that both implementations agree is asserted before anything is timed."""

import json

import numpy as np
import pytest
import torch

from benchmarks import training_step
from benchmarks.gpu_training import flops
from learn_features.towers.config import tower_preset
from learn_features.towers.model import Towers
from learn_features.training.cuts import CutBatch


def test_quick_run(capsys):
    training_step.main(["--quick", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert {"speedup", "growth_16x", "peak_memory_ratio"} <= result["claims"].keys()
    assert [row["method"] for row in result["rows"]][:2] == ["ours", "plain padded"]


def test_another_loss_is_noticed(monkeypatch):
    bench = training_step.Bench(training_step.simulated(60, 50), 50, dropout=False)
    monkeypatch.setattr(training_step, "padded", lambda batch: _wrong(batch))
    with pytest.raises(AssertionError):
        training_step.compare(bench)


def _wrong(batch):
    items = torch.zeros(len(batch.items), training_step.MAX_LENGTH, dtype=torch.int64)
    return items, torch.where(torch.arange(training_step.MAX_LENGTH) == 0, items, -1)


def test_flops_of_linear_maps_are_their_weights():
    """Without attention, forward FLOPs are two for each weight of a matrix, times entries."""
    config = tower_preset("paper-small", content_dimension=32, layers=3)
    towers = Towers(config)
    weights = sum(p.numel() for p in towers.user.parameters() if p.ndim == 2)
    batch = CutBatch(**{name: np.zeros((5, 1)) for name in CutBatch.__dataclass_fields__})
    attention = 3 * 2 * 2 * config.width  # one entry sees itself
    assert flops(config, batch) == 3 * 2 * 5 * (2 * weights + attention)
