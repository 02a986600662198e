"""A training that is stopped anywhere ends in the same bits as one that never was."""

import json
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from learn_features.towers.weights import tensors
from learn_features.training import fit as fitting
from learn_features.training.fit import Fitted, fit
from tests.training.world import (
    RESUMED,
    WITH_RESIDUALS,
    checkpointed,
    content_of,
    make_split,
)

IDS = [str(item) for item in range(120)]


class Stopped(Exception):
    """Raised in the middle of a training."""


def assert_same(one: Fitted, other: Fitted) -> None:
    first, second = tensors(one.towers), tensors(other.towers)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert one.residuals is not None
    assert (one.residuals.lookup(IDS) == other.residuals.lookup(IDS)).all()
    assert one.residuals.lookup(IDS).any()
    for ours, theirs in ((one.epochs, other.epochs), (one.points, other.points)):
        assert [(line.phase, line.loss, line.learning_rate) for line in ours] == [
            (line.phase, line.loss, line.learning_rate) for line in theirs
        ]
    assert [epoch.validation for epoch in one.epochs] == [epoch.validation for epoch in other.epochs]
    assert one.best.epoch == other.best.epoch


@pytest.fixture(scope="module")
def uninterrupted() -> Fitted:
    return fit(make_split(True), content_of(), WITH_RESIDUALS, RESUMED, seed=0)


def killed(folder: Path, where: str, number: int) -> None:
    command = [sys.executable, "-m", "tests.training.world", str(folder), where, str(number)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def counters_in(folder: Path) -> dict:
    state = json.loads((folder / "checkpoint" / "state.json").read_text())
    with safe_open(folder / "checkpoint" / state["tensors"], "pt") as saved:
        return json.loads(saved.metadata()["counters"])


def test_sigkill_in_both_phases_and_inside_a_checkpoint(uninterrupted, tmp_path):
    """The tuning phase has 3 × 4 steps, the final one 2 × 6; checkpoints also at the ends of epochs."""
    assert [epoch.steps for epoch in uninterrupted.epochs] == [4, 4, 4, 6, 6]
    step = random.randint(1, 12)
    killed(tmp_path, "step", step)
    counters = counters_in(tmp_path)
    assert (counters["now"]["step"], counters["ended"]) == (step, [])
    # past what is left of tuning: the steps, the ends of epochs, then somewhere in the final phase
    left = 12 - step + 3 - (step - 1) // 4
    killed(tmp_path, "save", left + random.randint(3, 9))
    counters = counters_in(tmp_path)
    assert len(counters["ended"]) == 1
    seen = []
    resumed = checkpointed(tmp_path, on_resume=lambda phase, at: seen.append((phase, at)))
    assert seen == [("final", counters["now"]["step"])]
    assert_same(resumed, uninterrupted)


@pytest.mark.parametrize(
    ("changes", "together", "kind"),
    [
        ({"loss": "dense_all_action", "final": "refit", "accumulate": 2, "logq": True}, 1, "leave_one_out"),
        ({"final": "refit", "patience": 1, "epochs": 6}, 1, "leave_one_out"),
        ({"final": "none", "ema": 0.0}, 1, "leave_one_out"),
        ({}, 2, "leave_one_out"),
        ({}, 1, "global_time"),
    ],
    ids=["dense all action", "refit", "one phase", "interactions of one time", "lifted by demand"],
)
def test_stopped_every_few_steps(changes, together, kind, tmp_path):
    recipe = RESUMED.model_copy(update=changes)
    parts = replace(make_split(True, together=together), kind=kind)
    whole = fit(parts, content_of(), WITH_RESIDUALS, recipe, seed=0)
    resumed, stops = None, 0
    while resumed is None:
        left = random.randint(1, 3)

        def stop(done: int, total: int) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Stopped

        try:
            resumed = checkpointed(tmp_path, recipe, together=together, kind=kind, progress=stop)
        except Stopped:
            stops += 1
    assert stops > 4
    assert_same(resumed, whole)


def test_what_was_found_before_the_first_step_is_not_asked_again(tmp_path, monkeypatch):
    """Another machine's item-to-item models might round otherwise, and other batches follow."""
    whole = fit(make_split(True), content_of(), WITH_RESIDUALS, RESUMED, seed=0)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        checkpointed(tmp_path, progress=stop)
    monkeypatch.setattr(fitting, "tuned_item_to_item", None)
    assert_same(checkpointed(tmp_path), whole)
