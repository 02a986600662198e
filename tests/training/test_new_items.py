import numpy as np
import pytest
import torch

from learn_features.evaluation import harness
from learn_features.evaluation.harness import evaluate
from learn_features.towers.model import Towers
from learn_features.towers.scoring import item_vectors, user_vectors
from learn_features.training import new_items, placing
from learn_features.training.fit import fit
from learn_features.training.new_items import KNOWN, MOVES, find_move, move_new_items
from learn_features.training.trained import Trained
from tests.training.world import ITEMS, RECIPE, TOWERS, C, content_of, make_split, parent_of

NEW = np.arange(5, ITEMS, 8)
NONE = np.zeros(0, dtype=np.int64)
COST = 0.02


def model_and_content(lent: float = 0.0):
    """`lent`: the strength of what similar items lend."""
    torch.manual_seed(3)
    towers = Towers(TOWERS.model_copy(update={"residuals": True, "similar_items": 20}))
    if lent:
        towers.item.similar.fill(torch.randn(20, C), torch.randn(20, TOWERS.dimension))
        towers.item.similar.strength.fill_(lent)
    model = Trained(towers, np.setdiff1d(np.arange(ITEMS), NEW).astype(np.int64), ITEMS)
    model.set_residuals(np.random.default_rng(0).normal(scale=0.3, size=(ITEMS - len(NEW), TOWERS.dimension)))
    model.residuals.data += 0.3  # trained items, and so users, have something in common that new ones lack
    torch.nn.init.zeros_(towers.user.gate.weight)
    torch.nn.init.constant_(towers.user.gate.bias, -20.0)  # a user is the sum of the history's item vectors
    return model.eval(), torch.randn(ITEMS, C, generator=torch.Generator().manual_seed(1))


def without_repeats(cases):
    """Cases of items that the user has not taken before."""
    new = [case for case in range(len(cases)) if not np.isin(cases.targets(case), cases.history(case)).any()]
    return cases.select(np.array(new))


def ndcg(scores, cases):
    """In the evaluation harness's own terms; users are called by their row."""
    answers = evaluate(
        {"": lambda part: scores[[cases.user_ids.index(user) for user in part.user_ids]]}, cases
    )
    return float(answers[""].per_case("ndcg_at_10").mean())


@pytest.mark.parametrize(("lent", "left"), [(0.0, NONE), (1.0, NONE), (3.0, NEW[10:])])
def test_the_move_goes_as_far_as_the_ranking_stays_next_to_its_best(lent, left):
    cases = without_repeats(make_split(False).validation)
    best = find_move(*model_and_content(lent), cases, left, COST)
    values = {}
    for move in MOVES:
        model, content = model_and_content(lent)
        # the users' history holds new items as well: their part of it does not move here
        users = user_vectors(
            model.towers, content, cases.history_offsets, cases.history_items, residuals=model.by_item()
        )
        residuals = model.by_item()
        residuals[left] = KNOWN
        shift = move_new_items(model, content, cases, float(move))
        residuals[np.setdiff1d(np.arange(ITEMS), np.setdiff1d(NEW, left))] -= shift
        vectors = item_vectors(model.towers, content, residuals)
        values[float(move)] = ndcg((users @ vectors.T).numpy(), cases)
    least = (1 - COST) * max(values.values())
    assert values[best] >= least * (1 - 1e-4)
    assert all(value < least * (1 + 1e-4) for move, value in values.items() if move > best)
    if not len(left):
        assert 0 < best < MOVES[-1]
        assert values[best] > values[0.0]


def test_cases_are_judged_alike_however_many_at_once(monkeypatch):
    cases = without_repeats(make_split(False).validation)
    whole = find_move(*model_and_content(1.0), cases, NONE, COST)
    monkeypatch.setattr(harness, "SCORES_AT_ONCE", 7 * ITEMS)
    by_move, sizes = new_items._by_move, []

    def note(staying, *rest):
        sizes.append(len(staying))
        return by_move(staying, *rest)

    monkeypatch.setattr(new_items, "_by_move", note)
    assert find_move(*model_and_content(1.0), cases, NONE, COST) == whole > 0
    assert (max(sizes), sum(sizes)) == (7, len(cases))


def test_a_warm_start_moves_new_items_anew_and_as_far(monkeypatch):
    """The move is no part of what is trained: neither its bias, nor what residuals lost by it."""
    towers = TOWERS.model_copy(update={"residuals": True, "item_variant": "projection"})
    recipe = RECIPE.model_copy(update={"final": "refit", "residual_dropout": 0.3, "loss": "softmax"})
    monkeypatch.setattr(placing, "find_move", lambda *_: 0.4)
    content, ids = content_of(), [str(row) for row in range(ITEMS)]
    cold = fit(make_split(True), content, towers, recipe, seed=0)
    parent = parent_of(cold)
    begun = []

    def note(model):
        begun.append(model.towers.item.moved.clone())

    still = recipe.model_copy(update={"epochs": 1, "learning_rate": 1e-12, "final_learning_rate": 1e-12})
    same = fit(make_split(True), content, towers, still, seed=0, parent=parent, on_tuned=note)
    far = float(cold.towers.item.moved.norm())
    assert far > 0.1
    assert float(begun[0].norm()) == 0.0  # trained without it
    for name, tensor in cold.towers.item.state_dict().items():
        torch.testing.assert_close(same.towers.item.state_dict()[name], tensor, atol=1e-4, rtol=0, msg=name)
    np.testing.assert_allclose(same.residuals.lookup(ids), cold.residuals.lookup(ids), atol=1e-4)
    warm = fit(make_split(True), content, towers, recipe, seed=1, parent=parent)
    assert float(warm.towers.item.moved.norm()) == pytest.approx(far, rel=1e-4)
    assert warm.tuning.placing.new_items.move > 0


def test_trained_items_stay_where_they_were():
    model, content = model_and_content()
    model.shrink = 4.0
    model.admit(np.repeat(model.items, np.arange(len(model.items)) % 5 + 1))
    before = item_vectors(model.towers, content, model.by_item())
    move_new_items(model, content, make_split(False).validation, 0.7)
    after = item_vectors(model.towers, content, model.by_item())
    known = np.setdiff1d(np.arange(ITEMS), NEW)
    torch.testing.assert_close(after[known], before[known], atol=1e-6, rtol=0)
    assert float((after[NEW] - before[NEW]).norm(dim=1).min()) > 0.05


def test_items_that_nobody_takes_hold_the_move_back():
    model, content = model_and_content()
    cases = without_repeats(make_split(False).validation)
    free = find_move(model, content, cases, NONE, 0.0)
    cases.target_items[np.isin(cases.target_items, NEW)] = 0
    cases = without_repeats(cases)
    assert find_move(model, content, cases, NONE, 0.0) < 0.1 * free  # so little changes no place


def test_nothing_moves_where_nothing_is_found(monkeypatch):
    monkeypatch.setattr(new_items, "_by_move", lambda *_: np.zeros(len(MOVES)))
    model, content = model_and_content()
    assert find_move(model, content, without_repeats(make_split(False).validation), NONE, COST) == 0.0
