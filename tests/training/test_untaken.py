"""Items of the catalogue that nobody took: towers learn that these are not wanted."""

from dataclasses import replace

import numpy as np
import pytest

from learn_features.evaluation.harness import evaluate
from learn_features.towers.scoring import scorer
from learn_features.training import fit as fitting
from learn_features.training.placing import Placing
from tests.training.world import ITEMS, RECIPE, TOWERS, C, content_of, make_split

CATALOGUE = 1_500
TOWERS_HERE = TOWERS.model_copy(update={"residuals": True, "dimension": 8})


def trained(weight, later=None):
    """Towers of a log of 120 items in a catalogue of 1,500, whose other texts are noise; and the content."""
    others = np.random.default_rng(5).normal(size=(CATALOGUE - ITEMS, C))
    content = np.concatenate((content_of(), others)).astype(np.float16)
    recipe = RECIPE.model_copy(update={"final": "refit", "untaken_weight": weight, "epochs": 8})
    return fitting.fit(make_split(True), content, TOWERS_HERE, recipe, seed=0, later=later), content


def test_items_that_nobody_takes_do_not_crowd_out_what_is_wanted():
    recall, crowd = {}, {}
    cases = make_split(True).test
    for weight in (0.0, RECIPE.untaken_weight):
        fitted, content = trained(weight)
        residuals = fitted.residuals.lookup([str(row) for row in range(CATALOGUE)])
        score = scorer(fitted.towers, content, residuals)
        recall[weight] = evaluate({"": score}, cases)[""].means()["recall_at_10"]
        first = np.argsort(-score(cases), axis=1)[:, :10]
        crowd[weight] = (first >= ITEMS).mean()
    assert crowd[RECIPE.untaken_weight] < crowd[0.0] / 2
    assert recall[RECIPE.untaken_weight] > 1.3 * recall[0.0]


def test_what_is_new_is_not_held_against_it(monkeypatch):
    """Neither what is held out while new items are placed, nor what the caller says came later."""
    seen, held_out, objective = [], [], fitting.objective

    def note(sequences, *positional, untaken, **named):
        seen.append((np.unique(sequences.items), untaken))
        return objective(sequences, *positional, untaken=untaken, **named)

    def drawn(*arguments):
        held_out.append(draw(*arguments))
        return held_out[0]

    draw = fitting.draw_new
    monkeypatch.setattr(fitting, "objective", note)
    monkeypatch.setattr(fitting, "draw_new", drawn)
    later = np.arange(200, 300)
    trained(0.1, later=later)
    tune, final = seen
    assert len(held_out[0])
    for (taken, untaken), new in ((tune, held_out[0]), (final, [])):
        others = np.setdiff1d(np.arange(CATALOGUE), np.concatenate((taken, new, later)))
        np.testing.assert_array_equal(untaken, others)


def test_what_is_first_taken_in_validation_is_new_while_tuning():
    """Beside others that nobody took it must not be the one with a residual, which is pushed away."""
    parts, first_later, seen = make_split(True), np.arange(0, ITEMS, 12), []
    train = parts.train.where(~np.isin(parts.train.items, first_later))
    fitting.fit(
        replace(parts, train=train), content_of(), TOWERS_HERE,
        RECIPE.model_copy(update={"final": "refit", "new_item_share": 0.0}), seed=0,
        on_tuned=lambda model: seen.append((model.items, model.by_item())),
    )  # fmt: skip
    ((known, residuals),) = seen
    np.testing.assert_array_equal(known, np.unique(train.items))
    assert not residuals[first_later].any()
    assert residuals[known].any(dim=1).all()


@pytest.mark.parametrize("kind", ["leave_one_out", "global_time"])
def test_what_is_first_taken_in_validation_was_there_unless_the_split_is_by_time(kind, monkeypatch):
    """As what test takes first is treated, when all is fitted."""
    parts, first_later, seen = make_split(True), np.arange(0, ITEMS, 12), []
    train = parts.train.where(~np.isin(parts.train.items, first_later))

    def note(model, content, parts, what, asked, new, cost, ranks):
        seen.append((new, what.passed_over, cost))
        return Placing()

    monkeypatch.setattr(fitting, "find_placing", note)
    recipe = RECIPE.model_copy(
        update={"final": "refit", "epochs": 1, "new_item_share": 0.2, "new_item_cost": 0.07}
    )
    fitting.fit(replace(parts, train=train, kind=kind), content_of(), TOWERS_HERE, recipe, seed=0)
    ((new, passed_over, cost),) = seen
    assert len(new)
    assert cost == 0.07
    np.testing.assert_array_equal(passed_over, first_later if kind == "leave_one_out" else [])


def test_what_is_first_taken_in_validation_is_known_at_the_end():
    parts, first_later = make_split(True), np.arange(0, ITEMS, 12)
    train = parts.train.where(~np.isin(parts.train.items, first_later))
    for final in ("refit", "continue"):
        recipe = RECIPE.model_copy(update={"final": final, "final_epochs": 2})
        fitted = fitting.fit(replace(parts, train=train), content_of(), TOWERS_HERE, recipe, seed=0)
        names = [str(item) for item in first_later]
        assert fitted.residuals.lookup(names).any(axis=1).all(), final
