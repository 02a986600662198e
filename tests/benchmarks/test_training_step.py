"""The smoke run, and what its figures stand on: both implementations do the same, lengths are as stated."""

import itertools
import json

import numpy as np
import pytest
import torch

from benchmarks import generated_log, padded, training_step
from benchmarks.contender import OURS, PLAIN, Contender, check_same
from benchmarks.gpu_training import flops
from benchmarks.peak_memory import PeakMemory
from learn_features.towers.config import tower_preset
from learn_features.towers.model import Towers
from learn_features.training.cuts import CutBatch

PRESETS = ("small", "paper-small")
SIZE = {"pairs_per_step": 100, "users_per_step": 60}


def pair(preset: str) -> tuple[Contender, Contender, list]:
    """Both implementations on one log with users of all lengths, and batches of it."""
    rng = np.random.default_rng(0)
    data = generated_log.log_of(generated_log.lengths(120, rng), 150, rng)
    ours, plain = (Contender(preset, method, data, 150, SIZE, calm=True) for method in (OURS, PLAIN))
    return ours, plain, list(itertools.islice(ours.batches(), 2))


@pytest.mark.long
def test_quick_run(capsys):
    training_step.main(["--quick", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result.keys() == {"benchmark", "machine", "rows", "claims"}
    assert result["benchmark"] == "training_step"
    rows = {(row["preset"], row["method"]): row for row in result["rows"]}
    claims = result["claims"]
    assert claims.keys() - {"gpu_mfu"} == {"speedup", "growth_16x", "peak_memory_ratio"}
    assert {(preset, method) for preset in PRESETS for method in (OURS, PLAIN)} <= rows.keys()
    ours, plain = rows["small", OURS], rows["small", PLAIN]
    assert ours["interactions_a_step"] == plain["interactions_a_step"]
    assert claims["peak_memory_ratio"] == pytest.approx(ours["peak_bytes"] / plain["peak_bytes"])
    # one repeat: the ratio of medians is the median of ratios
    rates = ours["interactions_per_second"], plain["interactions_per_second"]
    assert claims["speedup"] == pytest.approx(rates[0] / rates[1])
    assert rows["small", "epoch at 16 ×"]["users"] == 16 * rows["small", "epoch at 1 ×"]["users"]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_plain_one_has_the_same_gradients(preset):
    ours, plain, batches = pair(preset)
    check_same(ours, plain, batches)
    reference = ours.gradients(batches[0])[1]
    assert all(gradient.abs().sum() > 0 for gradient in reference.values())


@pytest.mark.parametrize("preset", PRESETS)
def test_another_loss_is_noticed(preset, monkeypatch):
    ours, plain, batches = pair(preset)
    widened = padded._widened
    monkeypatch.setattr(padded, "_widened", lambda items, width: np.flip(widened(items, width), 0))
    with pytest.raises(AssertionError, match="the losses are"):
        check_same(ours, plain, batches)


def test_other_gradients_of_the_same_loss_are_noticed(monkeypatch):
    ours, plain, batches = pair("small")
    loss = plain.task.loss

    def steeper(model, batch, rng):
        whole = loss(model, batch, rng)
        return whole.detach() + (whole - whole.detach()) * 1.01

    monkeypatch.setattr(plain.task, "loss", steeper)
    with pytest.raises(AssertionError, match="gradients of"):
        check_same(ours, plain, batches)


def test_generated_lengths_are_those_that_were_fitted():
    """What counting the public set gives, to the rounding of the fit."""
    lengths = generated_log.lengths(200_000, np.random.default_rng(0))
    assert lengths.mean() == pytest.approx(7.04, abs=0.05)
    np.testing.assert_array_equal(np.percentile(lengths, [0, 50, 75, 90, 95]), [5, 6, 8, 10, 13])
    assert np.percentile(lengths, 99) == pytest.approx(20, abs=1)
    assert lengths.max() <= 80
    assert np.mean(lengths == 5) == pytest.approx(0.392, abs=0.01)


def test_flops_of_linear_maps_are_their_weights():
    """Without attention, forward FLOPs are two for each weight of a matrix, times entries."""
    config = tower_preset("paper-small", content_dimension=32, layers=3)
    towers = Towers(config)
    weights = sum(p.numel() for p in towers.user.parameters() if p.ndim == 2)
    fields = {name: np.zeros((5, 4)) for name in CutBatch.__dataclass_fields__}
    lengths = {"history_lengths": np.ones(5), "target_lengths": np.array([1, 1, 0, 0, 0])}
    attention = 3 * 2 * 2 * config.width  # one entry sees itself
    assert flops(config, CutBatch(**{**fields, **lengths})) == 3 * (5 + 2) * (2 * weights + attention)


def test_peak_memory_is_what_was_taken_for_a_moment(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = np.ones(60 * 2**20, dtype=np.uint8)
    del before  # an earlier peak does not count
    with PeakMemory() as memory:
        taken = np.ones(40 * 2**20, dtype=np.uint8)
        del taken
    assert memory.added == pytest.approx(40 * 2**20, rel=0.1)
