"""Items of the catalogue that nobody took: towers learn that these are not wanted."""

import math

import numpy as np
import pytest

from learn_features.evaluation.harness import evaluate
from learn_features.towers.scoring import scorer
from learn_features.training import candidates
from learn_features.training import fit as fitting
from learn_features.training.candidates import Catalogue
from tests.training.world import ITEMS, RECIPE, TOWERS, C, content_of, make_split

CATALOGUE = 1_500
TOWERS_HERE = TOWERS.model_copy(update={"residuals": True, "dimension": 8})
TAKEN, OTHERS = np.arange(0, 30, 2), np.arange(31, 45)


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
        score = scorer(fitted.towers, content, TOWERS_HERE.max_length, residuals)
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


@pytest.mark.parametrize(("size", "most"), [(100, 100), (6, 100), (100, 4), (6, 4)])
def test_drawn_items_stand_for_all(monkeypatch, size, most):
    monkeypatch.setattr(candidates, "UNTAKEN_ITEMS", most)
    catalogue = Catalogue(TAKEN, OTHERS, 50, size=size, untaken_weight=0.1)
    needed, rng, total = np.array([TAKEN[3], TAKEN[0], TAKEN[3]]), np.random.default_rng(0), np.zeros(50)
    for _ in range(3_000):
        chosen = catalogue.draw(needed, rng)
        assert (np.diff(chosen.items) > 0).all()
        np.testing.assert_array_equal(chosen.rows[chosen.items], np.arange(len(chosen.items)))
        assert (chosen.rows[needed] >= 0).all()
        negative = chosen.log_weights > -math.inf
        np.testing.assert_array_equal(chosen.items[negative], np.flatnonzero(chosen.drawn >= 0))
        assert np.count_nonzero(negative) == min(size, len(TAKEN)) + min(most, len(OTHERS))
        total[chosen.items] += np.exp(chosen.log_weights)
    expected = np.zeros(50)
    expected[TAKEN], expected[OTHERS] = 1, 0.1
    np.testing.assert_allclose(total / 3_000, expected, rtol=0.15)


def test_nothing_is_drawn_where_all_fit_and_untaken_ones_count_nothing():
    catalogue = Catalogue(TAKEN, OTHERS, 50, size=100, untaken_weight=0.0)
    chosen = catalogue.draw(TAKEN[:2], np.random.default_rng(0))
    np.testing.assert_array_equal(chosen.items, TAKEN)
    assert chosen.log_weights is None
