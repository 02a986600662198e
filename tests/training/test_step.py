"""One step's gradients: in several passes, on several processes, in bf16."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from learn_features.evaluation.baselines.item_cf import ItemCFParameters
from learn_features.towers.model import Towers
from learn_features.training import fit as fitting
from learn_features.training.content_table import ContentTable
from learn_features.training.item_to_item import ItemToItem
from learn_features.training.objectives import objective
from learn_features.training.optimiser import Averages, Schedule, optimiser, set_rate
from learn_features.training.ranks import alone
from learn_features.training.recipe import Recipe
from learn_features.training.step import Step, low_precision
from learn_features.training.trained import Trained
from tests.training.world import ITEMS, RECIPE, TOWERS, content_of, make_split

WITHOUT_DROPOUT = TOWERS.model_copy(
    update={"dropout": 0.0, "content_dropout": 0.0, "residuals": True, "learnable_temperature": True}
)
CALM = RECIPE.model_copy(update={"residual_dropout": 0.0})


def model_of(config=WITHOUT_DROPOUT, row_dropout: float = 0.0) -> Trained:
    torch.manual_seed(0)
    model = Trained(Towers(config), np.arange(ITEMS), ITEMS, row_dropout=row_dropout)
    with torch.no_grad():
        model.residuals.normal_(std=0.1)
    return model


def gradients(recipe: Recipe, config=WITHOUT_DROPOUT) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of the first batch."""
    ranks, model = alone(), model_of(config, recipe.residual_dropout)
    table = ContentTable(content_of(), ranks.device)
    found = ItemToItem(ItemCFParameters()) if recipe.teacher_share else None
    task = objective(make_split(True).train, table, recipe, config.max_length, ranks, found)
    step = Step(model, task, recipe, ranks, seed=0, phase=0)
    loss = step(next(iter(task.batches(np.random.default_rng(0)))), 0)
    return float(loss), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "softmax"},
        {"loss": "softmax", "max_candidates": 40},
        {"loss": "softmax", "teacher_share": 0.0},
        {"loss": "softmax", "max_candidates": 40, "teacher_share": 0.0},
        {"loss": "dense_all_action"},
        {"loss": "dense_all_action", "logq": True, "users_per_step": 31},
    ],
)
def test_accumulated_gradients_are_those_of_the_joined_batch(changes):
    whole = CALM.model_copy(update=changes)
    loss, joined = gradients(whole)
    for passes in (2, 3):
        parts_loss, parts = gradients(whole.model_copy(update={"accumulate": passes}))
        assert parts_loss == pytest.approx(loss, rel=1e-5)
        assert parts.keys() == joined.keys()
        for name, gradient in joined.items():
            torch.testing.assert_close(parts[name], gradient, rtol=1e-3, atol=1e-6, msg=name)
    assert joined["towers.log_scale"].abs() > 0
    assert joined["residuals"].abs().sum() > 0


def test_dropout_is_the_same_in_both_encodings_of_a_part():
    """Else the gradients would belong to other vectors; seen where one part is the whole batch."""
    config = WITHOUT_DROPOUT.model_copy(update={"dropout": 0.3})
    recipe = RECIPE.model_copy(update={"loss": "dense_all_action", "users_per_step": 15})
    ranks, model = alone(), model_of(config, 0.3)
    table = ContentTable(content_of(), ranks.device)
    task = objective(make_split(True).train, table, recipe, config.max_length, ranks)
    batch = next(iter(task.batches(np.random.default_rng(0))))
    step = Step(model, task, recipe, ranks, seed=0, phase=0)
    direct = step._separate([batch], task.pairs(batch), 3)
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    again = step._contrasted(task, [batch], task.pairs(batch), 3)
    assert float(again) == float(direct)
    for name, gradient in expected.items():
        torch.testing.assert_close(dict(model.named_parameters())[name].grad, gradient, msg=name)


@pytest.mark.parametrize("loss", ["softmax", "dense_all_action"])
def test_bf16_is_near_fp32_and_weights_stay_float32(loss):
    recipe = CALM.model_copy(update={"loss": loss})
    full, exact = gradients(recipe)
    low, rounded = gradients(recipe.model_copy(update={"precision": "bf16"}))
    assert low != full
    assert low == pytest.approx(full, rel=0.02)
    assert all(gradient.dtype == torch.float32 for gradient in rounded.values())
    cosine = torch.nn.functional.cosine_similarity(
        *(torch.cat([part[name].flatten() for name in exact]) for part in (exact, rounded)), dim=0
    )
    assert cosine > 0.99


def test_a_share_of_residuals_is_left_out_in_training_only():
    model = model_of(row_dropout=0.25)
    items = torch.arange(ITEMS).repeat(50)
    left_out = (model.residual(items) == 0).all(-1).float().mean()
    assert float(left_out) == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / len(items)) ** 0.5)
    model.eval()
    torch.testing.assert_close(model.residual(items)[:ITEMS], model.residuals.detach())


def test_items_beyond_the_table_have_no_residual():
    model = Trained(Towers(WITHOUT_DROPOUT), np.array([2, 5]), 8)
    model.set_residuals(np.array([[1.0] * 16, [2.0] * 16], dtype=np.float32))
    expected = torch.zeros(8, 16)
    expected[2], expected[5] = 1, 2
    torch.testing.assert_close(model.by_item(), expected)
    torch.testing.assert_close(model.eval().residual(torch.tensor([[5, 0], [2, 7]])).sum(-1),
                               torch.tensor([[32.0, 0.0], [16.0, 0.0]]))  # fmt: skip


def test_groups_of_the_optimiser():
    model = model_of()
    recipe = RECIPE.model_copy(update={"residual_rate": 4.0, "residual_decay": 0.3, "weight_decay": 0.1})
    optimizer = optimiser(model, recipe)
    set_rate(optimizer, 1e-3)
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    residuals, matrix = of[id(model.residuals)], of[id(model.towers.user.gate.weight)]
    assert (residuals["lr"], residuals["weight_decay"]) == (4e-3, 0.3)
    assert (matrix["lr"], matrix["weight_decay"]) == (1e-3, 0.1)
    assert of[id(model.towers.user.gate.bias)]["weight_decay"] == 0.0
    assert optimizer.defaults["fused"]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_schedule_by_hand():
    schedule = Schedule(peak=2.0, steps=10, warmup=2)
    assert [schedule.at(step) for step in (0, 1, 2)] == [1.0, 2.0, 2.0]
    assert schedule.at(6) == pytest.approx(1.0)  # halfway down the cosine
    assert schedule.at(10) == pytest.approx(0.0)


def test_moving_average_by_hand():
    model = model_of()
    parameter = model.towers.user.gate.bias
    with torch.no_grad():
        parameter.fill_(1.0)
    averages = Averages(model, 0.9)
    expected = 1.0
    for step, value in enumerate((3.0, 5.0, 7.0)):
        with torch.no_grad():
            parameter.fill_(value)
        averages.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with averages.in_force():
        torch.testing.assert_close(parameter.detach(), torch.full_like(parameter, expected))
    torch.testing.assert_close(parameter.detach(), torch.full_like(parameter, 7.0))


def test_item_to_item_models_are_asked_once_for_all_ranks(monkeypatch):
    asked = []

    def note(parts, items, ranks, **more):
        asked.append(ranks)
        return ItemToItem(ItemCFParameters())

    monkeypatch.setattr(fitting, "tuned_item_to_item", note)
    ranks = alone()
    fitting.fit(make_split(True), content_of(), TOWERS, RECIPE, seed=0, ranks=ranks)
    assert asked == [ranks]


def test_no_gpus_emulation_of_bf16_is_taken(monkeypatch):
    """As V100 and T4 have it, which is slower than fp32."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not low_precision(RECIPE, torch.device("cuda"))
    assert low_precision(RECIPE.model_copy(update={"precision": "bf16"}), torch.device("cpu"))
    assert not low_precision(RECIPE, torch.device("cpu"))


def torchrun(what: str, folder: Path, *more: str) -> None:
    """Two processes of `tests.training.processes`."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        *more, "-m", "tests.training.processes", what, str(folder),
    ]  # fmt: skip
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_who_waited_for_a_process_that_stopped_says_so(tmp_path):
    torchrun("refused", tmp_path)
    assert (tmp_path / "0").read_text() == "refused by the first"
    assert "another process of torchrun has stopped" in (tmp_path / "1").read_text()


def test_processes_started_again_meet_each_other_and_not_the_dead(tmp_path):
    torchrun("killed", tmp_path, "--max-restarts", "1")
    assert (tmp_path / "sum").read_text() == "2"


def test_two_processes_train_as_one(tmp_path):
    """torchrun with gloo: the loss curve and weights of one process with the joined batch."""
    from tests.training import processes

    torchrun("main", tmp_path)
    for name, recipe in processes.RECIPES.items():
        losses, validation, weights = processes.trained(recipe, alone())
        two = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        np.testing.assert_allclose(two["losses"], losses, rtol=1e-5)
        np.testing.assert_allclose(two["validation"], validation, atol=1e-3)
        for key, tensor in weights.items():
            torch.testing.assert_close(two["weights"][key], tensor, rtol=0, atol=2e-3, msg=key)
