"""What only a CUDA device shows; `pytest -m gpu`."""

import copy
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch

from learn_features.towers.blocks import SHORT, PreferenceAlignment, all_layers
from learn_features.towers.config import TowerConfig
from learn_features.towers.model import Towers
from learn_features.towers.together import Group, encode_together
from learn_features.training import content_table, seeds
from learn_features.training.compiled import compile_layers, with_bits
from learn_features.training.content_table import ContentTable
from learn_features.training.fit import fit
from learn_features.training.loop import Loop
from learn_features.training.objectives import objective
from learn_features.training.phase import Phase
from learn_features.training.ranks import alone
from learn_features.training.trained import Trained
from tests.training.world import ITEMS, RESUMED, WITH_RESIDUALS, checkpointed, content_of, make_split

pytestmark = pytest.mark.gpu


class Stopped(Exception):
    """Raised in the middle of a training."""


CALM = WITH_RESIDUALS.model_copy(update={"dropout": 0.0, "content_dropout": 0.0})
"""No dropout: kernels of other precisions draw other masks, and so small data lose a tenth more or less."""


@pytest.mark.parametrize("loss", ["softmax", "dense_all_action"])
def test_bf16_on_a_gpu_learns_like_fp32_on_it(loss):
    assert alone().device.type == "cuda"
    low, full = (losses_of(loss=loss, accumulate=2, **more) for more in ({}, {"precision": "fp32"}))
    assert low == pytest.approx(full, rel=0.01)
    assert low[-1] != full[-1]


@pytest.mark.parametrize("loss", ["softmax", "dense_all_action"])
@pytest.mark.parametrize("passes", [1, 2])
def test_compiled_layers_learn_like_plain_ones(loss, passes, caplog):
    changes = {"loss": loss, "accumulate": passes, "precision": "fp32"}
    plain, compiled = (losses_of(**changes, **more) for more in ({}, {"compile_layers": True}))
    assert "uncompiled" not in caplog.text
    assert compiled == pytest.approx(plain, rel=0.01)


def losses_of(**changes):
    """Of every epoch."""
    recipe = RESUMED.model_copy(update={"residual_dropout": 0.0, **changes})
    fitted = fit(make_split(True), content_of(), CALM, recipe, seed=0)
    assert fitted.towers.log_scale.device.type == "cuda"
    return [epoch.loss for epoch in fitted.epochs]


def test_compiled_gradients_are_those_of_the_same_dropout():
    torch.manual_seed(0)
    towers = Towers(TowerConfig(content_dimension=6, item_variant="sequence", dropout=0.3)).to("cuda").train()
    plain = copy.deepcopy(towers)
    plain.user.alignment.through = with_bits(all_layers)
    assert compile_layers(towers, nullcontext)
    for shapes in (((30, 5), (40, 9)), ((20, 6), (30, 8)), ((40, 3),)):
        groups = [Group(torch.randn(*shape, 6, device="cuda")) for shape in shapes]
        for model in (plain, towers):
            model.zero_grad()
            seeds.seed_torch(0, 0, "dropout", 0)
            users, items = encode_together(model, groups, groups)
            sum((vectors * vectors.cumsum(1)).sum() for vectors in (*users, *items)).backward()
        for (name, ours), theirs in zip(towers.named_parameters(), plain.parameters(), strict=True):
            if theirs.grad is not None:
                assert (ours.grad - theirs.grad).norm() <= 1e-3 * theirs.grad.norm() + 1e-6, name


@pytest.mark.parametrize("width", [12, 128])
def test_short_sequences_are_read_like_the_same_in_longer_ones(width):
    """Their kernel is another; heads of 6 and of 64, of which it cannot take the first."""
    torch.manual_seed(0)
    alignment = PreferenceAlignment(
        TowerConfig(content_dimension=6, width=width, heads=2, dropout=0.0, content_dropout=0.0)
    ).to("cuda")
    content = torch.randn(3, SHORT + 20, 6, device="cuda")
    for autocast, tolerance in ((nullcontext(), 1e-5), (torch.autocast("cuda", torch.bfloat16), 0.03)):
        with autocast:
            short, longer = alignment(content[:, :SHORT]), alignment(content)[:, :SHORT]
        assert (short - longer).norm() <= tolerance * longer.norm()
        expected, found = (
            torch.autograd.grad(v.float().square().sum(), alignment.blocks[0].qkv.weight)[0]
            for v in (longer, short)
        )
        assert (found - expected).norm() <= 2 * tolerance * expected.norm()


def test_compiled_dropout_repeats_itself_without_a_graph():
    towers = Towers(WITH_RESIDUALS.model_copy(update={"dropout": 0.3})).to("cuda").train()
    assert compile_layers(towers, partial(torch.autocast, "cuda", torch.bfloat16))
    content = torch.randn(5, 7, WITH_RESIDUALS.content_dimension, device="cuda")
    vectors = []
    for graph in (False, True):
        seeds.seed_torch(0, 0, "dropout", 1)
        with torch.set_grad_enabled(graph), torch.autocast("cuda", torch.bfloat16):
            vectors.append(towers.user.positions(content).detach())
    assert torch.allclose(*vectors, atol=2e-2)  # bf16 rounds at other places


def test_a_table_that_does_not_fit_trains_the_same(monkeypatch):
    recipe = RESUMED.model_copy(update={"loss": "dense_all_action", "precision": "fp32"})
    inside = fit(make_split(True), content_of(), WITH_RESIDUALS, recipe, seed=0)
    monkeypatch.setattr(content_table, "SHARE_OF_FREE", 0.0)
    outside = fit(make_split(True), content_of(), WITH_RESIDUALS, recipe, seed=0)
    assert [e.loss for e in outside.epochs] == pytest.approx([e.loss for e in inside.epochs], rel=1e-3)


def test_a_stopped_training_goes_on(tmp_path):
    whole = fit(make_split(True), content_of(), WITH_RESIDUALS, RESUMED, seed=0)

    def stop(done: int, total: int) -> None:
        if done == 7:
            raise Stopped

    with pytest.raises(Stopped):
        checkpointed(tmp_path, progress=stop)
    resumed = checkpointed(tmp_path)
    assert [e.loss for e in resumed.epochs] == pytest.approx([e.loss for e in whole.epochs], rel=1e-2)
    assert torch.isfinite(resumed.towers.user.alignment.adaptor.weight).all()


@pytest.mark.parametrize("loss", ["softmax", "dense_all_action"])
def test_a_step_is_queued_without_waiting_for_the_gpu(loss):
    recipe, ranks = RESUMED.model_copy(update={"loss": loss}), alone()
    model = Trained(Towers(WITH_RESIDUALS), np.arange(ITEMS), ITEMS, row_dropout=0.3).to(ranks.device)
    table = ContentTable(content_of(), ranks.device)
    task = objective(make_split(True).train, table, recipe, WITH_RESIDUALS.max_length, ranks)
    run = Loop(model, task, recipe, Phase("steps", 0, 1, 1, 1e-3, "learning_rate"), seed=0, ranks=ranks)
    first, *others = task.batches(np.random.default_rng(0))
    run.update(first)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in others:
            run.update(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    run.settle()
    assert np.isfinite(run.counters.loss_sum)
