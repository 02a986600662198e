"""A training that diverges ends in an error that says what to do, and never in towers."""

import pytest

from learn_features.errors import ConfigError
from learn_features.training.fit import fit
from tests.training.world import RECIPE, TOWERS, content_of, make_split


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
