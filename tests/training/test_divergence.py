"""A training that diverges ends in an error that says what to do, and never in towers."""

import numpy as np
import pytest

from learn_features.errors import ConfigError
from learn_features.towers.model import Towers
from learn_features.training.fit import fit
from learn_features.training.loop import Loop
from learn_features.training.phase import Phase
from learn_features.training.ranks import alone
from learn_features.training.trained import Trained
from tests.training.world import ITEMS, RECIPE, TOWERS, content_of, make_split


def test_a_diverging_loss_stops_with_what_to_do():
    content = content_of()
    recipe = RECIPE.model_copy(update={"learning_rate": 1e30, "clip_norm": 1e30})
    with pytest.raises(ConfigError, match=r"loss is .* start anew with --fresh"):
        fit(make_split(True), content, TOWERS, recipe, seed=0)


LAST = {"epochs": 1, "pairs_per_step": 10_000, "final_learning_rate": 1e60}
"""One step a phase: no loss is asked of the weights that it leaves."""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            LAST,
            r"not finite after the 1 steps of final; .*recipe.final_learning_rate .* below 1e\+60",
        ),
        (
            {**LAST, "learning_rate": 1e60},
            r"not finite after the 1 steps of tune; .*recipe.learning_rate in",
        ),
        ({**LAST, "learning_rate": 1e30, "ema": 0.0}, r"vectors are not finite after tune; start anew"),
    ],
)
def test_what_the_last_step_leaves_is_looked_at(changes, message):
    with pytest.raises(ConfigError, match=message):
        fit(make_split(True), content_of(), TOWERS, RECIPE.model_copy(update=changes), seed=0)


@pytest.mark.parametrize("rate", [5.0, 10.0])
def test_a_rate_that_makes_towers_worse_than_untrained_ones_stops(rate):
    recipe = RECIPE.model_copy(update={"learning_rate": rate, "loss": "softmax", "teacher_share": 0.0})
    towers = TOWERS.model_copy(update={"residuals": True, "item_variant": "projection"})
    with pytest.raises(ConfigError, match=r"the loss grew from .* in epoch \d+ of tune; start anew"):
        fit(make_split(True), content_of(), towers, recipe, seed=0)


class Told:
    """An objective whose losses are told, one a step; `steps` of them an epoch."""

    def __init__(self, losses, steps=1):
        self.losses, self.steps = iter(losses), steps

    def batches(self, rng):
        yield from range(self.steps)

    def pairs(self, batch):
        return 1

    def loss(self, model, batch, rng):
        return model.towers.log_scale * 0 + next(self.losses)


def run_through(task, epochs, *, validate=lambda _model: {"ndcg_at_10": 0.5}):
    towers = Towers(TOWERS.model_copy(update={"learnable_temperature": True}))
    model = Trained(towers, np.arange(ITEMS), ITEMS)
    phase = Phase("tune", 0, epochs=epochs, schedule_epochs=epochs, peak=1e-3, rate="learning_rate")
    run = Loop(model, task, RECIPE, phase, seed=0, ranks=alone())
    run.run(validate=validate)


def test_a_loss_that_grew_stops_at_the_end():
    with pytest.raises(ConfigError, match=r"from 2\.500 at .* to 6\.250 in epoch 3 of tune; start anew"):
        run_through(Told([2.5, 2.0, 6.25]), epochs=3)


def test_what_is_worse_than_before_training_is_said(caplog):
    run_through(Told([2.5, 2.0, 3.25]), epochs=3, validate=None)
    assert "grew from 2.500 at the first step to 3.250 in epoch 3 of tune, which is kept" in caplog.text
    caplog.clear()
    run_through(Told([2.5, 2.25, 3.25]), epochs=3)  # the first epoch is kept
    assert "kept" not in caplog.text


def test_the_best_epoch_may_not_have_grown_either():
    better = iter([0.1, 0.5, 0.2])
    with pytest.raises(ConfigError, match=r"from 2\.500 at .* to 6\.250 in epoch 2 of tune; start anew"):
        run_through(Told([2.5, 6.25, 2.75]), epochs=3, validate=lambda _: {"ndcg_at_10": next(better)})


def test_a_loss_that_grows_stops_once_a_hundred_steps_have_settled_it():
    with pytest.raises(ConfigError, match=r"from 1\.000 at .* to 3\.000 in epoch 2 of tune; start anew"):
        run_through(Told([1.0] * 50 + [3.0] * 950, steps=50), epochs=20)


def test_first_steps_may_overshoot():
    run_through(Told([2.5, 6.25, 2.0]), epochs=3)


def test_a_temperature_that_is_learnt_stays_within_bounds():
    """Sharper is better here, without end."""

    class Sharper(Told):
        def loss(self, model, batch, rng):
            return -model.towers.scale

    towers = Towers(TOWERS.model_copy(update={"learnable_temperature": True, "temperature": 0.011}))
    model = Trained(towers, np.arange(ITEMS), ITEMS)
    run = Loop(
        model,
        Sharper([], steps=50),
        RECIPE,
        Phase("tune", 0, 2, 2, 1e-2, "learning_rate"),
        seed=0,
        ranks=alone(),
    )
    run.run()
    assert towers.scale.item() == pytest.approx(100)
