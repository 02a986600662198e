import numpy as np
import torch

from learn_features.towers.model import Towers
from learn_features.towers.scoring import item_vectors, user_vectors
from learn_features.training.new_items import PLACES, find_move, move_new_items
from learn_features.training.trained import Trained
from tests.training.world import ITEMS, TOWERS, C, make_split

NEW = np.arange(5, ITEMS, 8)


def model_and_content():
    torch.manual_seed(3)
    towers = Towers(TOWERS.model_copy(update={"residuals": True}))
    model = Trained(towers, np.setdiff1d(np.arange(ITEMS), NEW).astype(np.int64), ITEMS)
    model.set_residuals(np.random.default_rng(0).normal(scale=0.3, size=(ITEMS - len(NEW), TOWERS.dimension)))
    model.residuals.data += 0.3  # trained items, and so users, have something in common that new ones lack
    torch.nn.init.zeros_(towers.user.gate.weight)
    torch.nn.init.constant_(towers.user.gate.bias, -20.0)  # a user is the sum of the history's item vectors
    return model.eval(), torch.randn(ITEMS, C, generator=torch.Generator().manual_seed(1))


def share_of_new(model, content, cases):
    """By the definition: a full ranking without what a case has seen."""
    users = user_vectors(
        model.towers, content, cases.history_offsets, cases.history_items, 10, residuals=model.by_item()
    )
    scores = users @ item_vectors(model.towers, content, model.by_item()).T
    shown = []
    for case in range(len(cases)):
        scores[case, cases.history(case)] = -torch.inf
        shown += scores[case].topk(PLACES).indices.tolist()
    return np.isin(shown, NEW).mean()


def test_moved_new_items_get_the_share_that_users_took_of_them():
    model, content = model_and_content()
    cases = make_split(False).validation
    wanted = np.isin(cases.target_items, NEW).mean()
    assert share_of_new(model, content, cases) < 0.7 * wanted
    move = find_move(model, content, cases, NEW)
    move_new_items(model, content, cases, move)
    assert wanted <= share_of_new(model, content, cases) < wanted + 0.1


def test_trained_items_stay_where_they_were():
    model, content = model_and_content()
    before = item_vectors(model.towers, content, model.by_item())
    move_new_items(model, content, make_split(False).validation, 0.7)
    after = item_vectors(model.towers, content, model.by_item())
    known = np.setdiff1d(np.arange(ITEMS), NEW)
    torch.testing.assert_close(after[known], before[known], atol=1e-6, rtol=0)
    assert float((after[NEW] - before[NEW]).norm(dim=1).min()) > 0.05


def test_new_items_that_have_their_share_are_not_moved():
    model, content = model_and_content()
    model.residuals.data.zero_()
    cases = make_split(False).validation
    few = NEW[:1]
    cases.target_items[np.isin(cases.target_items, few)] = 0  # nobody takes it
    assert find_move(model, content, cases, few) == 0.0
