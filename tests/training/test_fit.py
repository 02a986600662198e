"""Training in memory on small synthetic data: items of a cluster follow each other."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from learn_features.content.checked import check_content
from learn_features.errors import ConfigError, DataError
from learn_features.evaluation.harness import evaluate
from learn_features.towers.scoring import item_vectors, scorer
from learn_features.towers.weights import tensors
from learn_features.training.fit import Tuning, fit
from learn_features.training.new_items import NewItems
from learn_features.training.placing import Placing
from tests.training.world import ITEMS, RECIPE, TOWERS, content_of, make_split, parent_of

CHANCE = 10 / ITEMS


@pytest.mark.parametrize("loss", ["softmax", "dense_all_action"])
def test_learnable_data_beats_a_floor_that_noise_does_not(loss):
    recipe = RECIPE.model_copy(update={"loss": loss, "epochs": 6, "pairs_per_step": 60, "users_per_step": 15})
    recalls = {}
    for learnable in (True, False):
        fitted = fit(make_split(learnable), content_of(), TOWERS, recipe, seed=0)
        recalls[learnable] = fitted.best.validation["recall_at_10"]
    # within a cluster of 20, 10 of the 20 hit by chance (more with those already seen masked)
    assert recalls[True] > 4 * CHANCE
    assert recalls[False] < 3 * CHANCE


@pytest.mark.parametrize("variant", ["sequence", "single", "content"])
def test_every_item_variant_learns(variant):
    towers = TOWERS.model_copy(update={"item_variant": variant, "recency_sum": False})
    recipe = RECIPE.model_copy(update={"loss": "dense_all_action", "users_per_step": 15, "epochs": 8})
    epochs = fit(make_split(True), content_of(), towers, recipe, seed=0).epochs
    assert epochs[7].loss < 0.9 * epochs[0].loss


def test_sampled_candidates_learn_too():
    recipe = RECIPE.model_copy(update={"max_candidates": 30, "epochs": 6, "pairs_per_step": 60})
    fitted = fit(make_split(True), content_of(), TOWERS, recipe, seed=0)
    assert fitted.best.validation["recall_at_10"] > 4 * CHANCE


@pytest.mark.parametrize("loss", ["softmax", "dense_all_action"])
def test_the_seed_decides_every_weight(loss):
    recipe = RECIPE.model_copy(update={"loss": loss})
    runs = [fit(make_split(True), content_of(), TOWERS, recipe, seed=seed) for seed in (3, 3, 4)]
    first, again, other = (tensors(run.towers) for run in runs)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["user.alignment.adaptor.weight"], other["user.alignment.adaptor.weight"])
    assert [epoch.loss for epoch in runs[0].epochs] == [epoch.loss for epoch in runs[1].epochs]


def test_training_leaves_the_callers_random_state_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    fit(make_split(True), content_of(), TOWERS, RECIPE, seed=0)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_threads_sum_in_one_order(two_threads):
    """Steps large enough for torch to share them out: their gradients meet in the same rows."""
    towers = TOWERS.model_copy(update={"dimension": 64, "width": 64, "residuals": True})
    recipe = RECIPE.model_copy(update={"pairs_per_step": 600, "final": "none", "epochs": 1})
    one, *others = (
        tensors(fit(make_split(True), content_of(), towers, recipe, seed=0).towers) for _ in range(4)
    )
    assert [name for other in others for name in one if not torch.equal(one[name], other[name])] == []


def test_best_epoch_is_kept_and_patience_stops():
    recipe = RECIPE.model_copy(update={"epochs": 30, "patience": 2, "final_epochs": 0})
    fitted = fit(make_split(False), content_of(), TOWERS, recipe, seed=0)
    scores = [epoch.validation["ndcg_at_10"] for epoch in fitted.epochs]
    assert len(scores) < 30
    assert fitted.best.epoch == int(np.argmax(scores)) + 1 == len(scores) - 2
    again = fit(make_split(False), content_of(), TOWERS, recipe.model_copy(update={"patience": 30}), seed=0)
    assert again.epochs[0].loss == fitted.epochs[0].loss


def test_final_epochs_see_the_validation_interactions():
    seen = []
    fitted = fit(
        make_split(True), content_of(), TOWERS, RECIPE, seed=0,
        on_epoch=seen.append, progress=lambda done, total: None,
    )  # fmt: skip
    assert [(epoch.phase, epoch.epoch) for epoch in seen] == [
        ("tune", 1),
        ("tune", 2),
        ("tune", 3),
        ("final", 1),
    ]
    assert fitted.epochs == seen
    assert seen[-1].validation == {}


def test_warm_start_goes_on_from_the_parent():
    cold = fit(make_split(True), content_of(), TOWERS, RECIPE, seed=0)
    one_epoch = RECIPE.model_copy(update={"epochs": 1})
    warm = fit(make_split(True), content_of(), TOWERS, one_epoch, seed=1, parent=parent_of(cold))
    assert warm.epochs[0].loss < 0.97 * cold.epochs[0].loss


def test_no_items_are_held_out_where_nothing_follows():
    recipe = RECIPE.model_copy(update={"final": "continue", "final_epochs": 0, "epochs": 1})
    towers = TOWERS.model_copy(update={"residuals": True})
    fitted = fit(make_split(True), content_of(), towers, recipe, seed=0)
    learned = fitted.residuals.lookup([str(item) for item in np.unique(make_split(True).train.items)])
    assert len(np.unique(learned, axis=0)) == len(learned)


@pytest.mark.parametrize("users", [0, 1])
def test_dense_all_action_needs_other_users(users):
    recipe = RECIPE.model_copy(update={"loss": "dense_all_action"})
    parts = make_split(True)
    rest = parts.train.users >= users
    flat = replace(parts.train, times_us=np.where(rest, 0, parts.train.times_us))
    with pytest.raises(ConfigError, match=rf"{users} users have interactions at two times"):
        fit(replace(parts, train=flat), content_of(), TOWERS, recipe, seed=0)


def test_content_that_is_not_finite_is_named():
    content = content_of()
    content[7, 3] = np.nan
    content[9] = np.inf
    with pytest.raises(DataError, match=r"2 of 120 are not finite .* first of items i7, i9"):
        check_content(content, [f"i{row}" for row in range(ITEMS)])


def test_a_table_that_misses_items_is_refused():
    with pytest.raises(DataError, match=r"there are 118 for 120 items; .* without one: 118, 119"):
        fit(make_split(True), content_of()[:118], TOWERS, RECIPE, seed=0)


def test_without_validation_cases_nothing_is_placed():
    """Also where nothing is left to tune: the mean user would be nobody."""
    parts = make_split(True)
    nobody = replace(parts, validation=parts.validation.select(slice(0)))
    with pytest.raises(DataError, match="validation asks nobody anything"):
        fit(nobody, content_of(), TOWERS, RECIPE, seed=0, tuning=Tuning(1))


def test_a_table_with_too_many_vectors_is_refused():
    ids = [f"i{row}" for row in range(ITEMS - 1)]
    with pytest.raises(DataError, match=r"there are 120 for 119 items; give one an item, in their order$"):
        check_content(content_of(), ids)


def test_refit_starts_anew_for_as_long_as_the_best_took():
    recipe = RECIPE.model_copy(update={"final": "refit", "epochs": 8, "patience": 2})
    fitted = fit(make_split(True), content_of(), TOWERS, recipe, seed=0)
    final = [epoch for epoch in fitted.epochs if epoch.phase == "final"]
    tune = [epoch for epoch in fitted.epochs if epoch.phase == "tune"]
    assert len(final) == fitted.best.epoch
    assert final[0].loss == pytest.approx(tune[0].loss, rel=0.1)  # from scratch, not from the best
    # the cosine is steep towards its end, and a step there is a part of an epoch that holds more steps
    assert final[-1].learning_rate == pytest.approx(fitted.best.learning_rate, rel=0.15, abs=1e-5)


def test_residuals_of_trained_items_only_and_a_warm_start_keeps_them():
    towers = TOWERS.model_copy(update={"residuals": True})
    cold = fit(make_split(True), content_of(), towers, RECIPE, seed=0)
    seen = np.unique(make_split(True).train_and_validation.items)
    table = cold.residuals.lookup([str(item) for item in range(ITEMS)])
    assert sorted(np.flatnonzero(table.any(1))) == sorted(seen)
    still = RECIPE.model_copy(update={"epochs": 1, "final": "none", "final_learning_rate": 1e-12})
    warm = fit(make_split(True), content_of(), towers, still, seed=1,
               parent=parent_of(cold))  # fmt: skip
    again = warm.residuals.lookup([str(item) for item in range(ITEMS)])
    trained = np.unique(make_split(True).train.items)
    np.testing.assert_allclose(again[trained], table[trained], atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "later", "left"),
    [
        ("leave_one_out", None, [0, 1, 2]),
        ("leave_one_out", [ITEMS + 1], [0, 2]),
        ("global_time", None, []),
        ("global_time", [ITEMS + 1], [0, 2]),
    ],
)
def test_new_items_move_and_borrow_and_those_that_were_left_do_not(kind, later, left):
    content = np.concatenate((content_of(), content_of(seed=1)[:3]))
    parts = replace(make_split(True), kind=kind)
    towers = TOWERS.model_copy(update={"residuals": True, "similar_items": 50})

    def untaken(move: float, borrowing: float) -> np.ndarray:
        fitted = fit(
            parts, content, towers, RECIPE, seed=0,
            tuning=Tuning(1, placing=Placing(NewItems(move, borrowing))),
            later=None if later is None else np.array(later),
        )  # fmt: skip
        known = fitted.residuals.lookup([str(row) for row in range(len(content))])
        return item_vectors(fitted.towers, torch.from_numpy(content), torch.from_numpy(known))[ITEMS:]

    stayed = np.isin(np.arange(3), left)
    for move, borrowing in ((0.7, 0.0), (0.0, 2.0), (0.7, 2.0)):
        changed = (untaken(move, borrowing) - untaken(0.0, 0.0)).norm(dim=1).numpy()
        np.testing.assert_allclose(changed[stayed], 0, atol=1e-5)
        assert (changed[~stayed] > 0.01).all()


def test_what_was_left_stays_through_a_warm_start():
    content = np.concatenate((content_of(), content_of(seed=1)[:3]))
    towers = TOWERS.model_copy(update={"residuals": True})
    first = fit(
        make_split(True), content, towers, RECIPE, seed=0, tuning=Tuning(1, placing=Placing(NewItems(0.7)))
    )
    untaken = [str(row) for row in range(ITEMS, ITEMS + 3)]
    rows = first.residuals.lookup(untaken)
    assert (np.linalg.norm(rows, axis=1) > 0.01).all()
    for kind in ("leave_one_out", "global_time"):
        again = fit(
            replace(make_split(True), kind=kind), content, towers, RECIPE, seed=1,
            parent=parent_of(first),
        )  # fmt: skip
        moved = again.towers.item.moved.numpy()
        assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(rows[0]), rel=1e-3)  # as far, anew
        np.testing.assert_allclose(again.residuals.lookup(untaken), [-moved] * 3, atol=1e-6)


def test_averaged_weights_are_what_is_judged_and_kept():
    recipe = RECIPE.model_copy(update={"ema": 0.99, "final": "none", "epochs": 4, "patience": 9})
    plain, averaged = (
        fit(make_split(True), content_of(), TOWERS, r, seed=0)
        for r in (recipe.model_copy(update={"ema": 0.0}), recipe)
    )
    assert [e.loss for e in plain.epochs] == [e.loss for e in averaged.epochs]
    assert [e.validation for e in plain.epochs] != [e.validation for e in averaged.epochs]
    score = scorer(averaged.towers, content_of())
    kept = evaluate({"kept": score}, make_split(True).validation)["kept"].means()
    assert kept["recall_at_10"] == pytest.approx(averaged.best.validation["recall_at_10"])


def test_content_can_be_where_the_transformer_starts():
    """With steps too small to see, the projection is still the one that takes the first axes."""
    for start in ("random", "content"):
        recipe = RECIPE.model_copy(
            update={"start": start, "learning_rate": 1e-9, "epochs": 1, "final": "none"}
        )
        towers = fit(make_split(True), content_of(), TOWERS, recipe, seed=0).towers
        first = torch.eye(TOWERS.dimension, TOWERS.width)
        off = (towers.user.alignment.projection.weight.detach() - first).abs().max()
        assert (off < 1e-5) == (start == "content")
