"""What of a residual is served, by how often its item was taken."""

import numpy as np
import torch

from learn_features.towers.model import Towers
from learn_features.training.fit import fit
from learn_features.training.trained import Trained
from tests.training.world import ITEMS, RECIPE, TOWERS, content_of, make_split, parent_of

WITH_RESIDUALS = TOWERS.model_copy(update={"residuals": True})
IDS = [str(item) for item in range(ITEMS)]


def test_rare_items_are_served_less_of_what_was_learned():
    model = Trained(Towers(WITH_RESIDUALS), np.array([2, 5, 7]), 9, shrink=4.0)
    model.admit(np.array([5, 5, 2, 5, 5]))
    model.residuals.data.fill_(10.0)
    expected = torch.zeros(9, 16)
    expected[2], expected[5] = 10 * 1 / 5, 10 * 4 / 8
    torch.testing.assert_close(model.by_item(), expected)
    training = model.residual(torch.tensor([2, 5, 7]))
    torch.testing.assert_close(training[:, 0], torch.tensor([10.0, 10.0, 0.0]))


def test_what_is_served_stays_where_more_takings_come():
    model = Trained(Towers(WITH_RESIDUALS), np.array([2, 5, 7]), 9, shrink=4.0)
    served = np.arange(48, dtype=np.float32).reshape(3, 16)
    model.set_residuals(served)
    for taken in ([2, 5, 7], [2, 2, 2, 5, 7, 7]):
        model.admit(np.array(taken))
        torch.testing.assert_close(model.by_item()[[2, 5, 7]], torch.from_numpy(served))
    torch.testing.assert_close(model.residuals[0].detach(), torch.from_numpy(served[0]) * (3 + 4) / 3)


def test_a_fitted_residual_is_shrunk_by_the_takings_it_was_learnt_from():
    recipe = RECIPE.model_copy(update={"final": "none", "epochs": 1})
    split, content = make_split(True), content_of()
    whole, shrunk = (
        fit(split, content, WITH_RESIDUALS, recipe.model_copy(update={"residual_shrink": shrink}), seed=0)
        .residuals.lookup(IDS)
        for shrink in (0.0, 4.0)
    )  # fmt: skip
    takings = np.bincount(split.train.items, minlength=ITEMS)[:, None]
    np.testing.assert_allclose(shrunk, whole * takings / (takings + 4), rtol=1e-5, atol=1e-7)


def test_a_warm_start_does_not_shrink_what_its_parent_did():
    still = RECIPE.model_copy(update={"final": "none", "epochs": 1, "final_learning_rate": 1e-12})
    parent = fit(make_split(True), content_of(), WITH_RESIDUALS, RECIPE, seed=0)
    child = fit(make_split(True), content_of(), WITH_RESIDUALS, still, seed=1, parent=parent_of(parent))
    np.testing.assert_allclose(
        child.residuals.lookup(IDS), parent.residuals.lookup(IDS), rtol=1e-4, atol=1e-6
    )
