"""Items in demand at the end of the log: how far they are lifted, and that a child takes it back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from learn_features.evaluation.harness import evaluate
from learn_features.towers.model import Towers
from learn_features.towers.scoring import item_vectors, user_vectors
from learn_features.training.demand import Demand, find_demand, lift_items
from learn_features.training.fit import Tuning, fit
from learn_features.training.placing import Placing
from learn_features.training.trained import Trained
from tests.training.world import (
    ITEMS,
    RECIPE,
    TOWERS,
    WITH_RESIDUALS,
    C,
    content_of,
    make_split,
    parent_of,
)

DAY = 86_400_000_000
IDS = [str(row) for row in range(ITEMS)]


def model_and_content():
    torch.manual_seed(3)
    towers = Towers(TOWERS.model_copy(update={"residuals": True}))
    model = Trained(towers, np.arange(0, ITEMS, 2), ITEMS, shrink=4.0)
    model.set_residuals(np.random.default_rng(0).normal(scale=0.3, size=(ITEMS // 2, TOWERS.dimension)))
    return model.eval(), torch.randn(ITEMS, C, generator=torch.Generator().manual_seed(1))


def test_an_item_is_lifted_by_the_log_of_what_is_recent(make_sequences):
    """Worked by hand: half life two days, log of six; items 0 and 2 are known, 1 is new."""
    model, content = model_and_content()
    log = make_sequences([[0, 0, 2], [2, 4]], [[0, 4, 6], [2, 6]])
    log = replace(log, times_us=log.times_us // 1_000_000 * DAY)
    model.admit(log.items)
    recent = {0: 2**-3 + 2**-1, 2: 1 + 2**-2, 4: 1}
    cases = make_split(False).validation
    before = model.by_item()
    users = user_vectors(model.towers, content, cases.history_offsets, cases.history_items, residuals=before)
    towards = F.normalize(users.mean(0), dim=0)
    tower = model.towers.item
    unit = tower.aligned(content[list(recent)]).norm(dim=-1).mean()
    lift_items(model, content, log, cases, Demand(0.0, 2.0))
    assert model.lift is None
    lift_items(model, content, log, cases, Demand(0.3, 2.0))
    expected = before.clone()
    for item, taken in recent.items():
        expected[item] += 0.3 * unit * np.log1p(taken) * towards
    torch.testing.assert_close(model.by_item(), expected)
    torch.testing.assert_close(model.by_item(lifted=False), before)
    lifted = (expected - before)[list(recent)].detach()
    np.testing.assert_allclose(model.lift.vectors(), lifted, atol=1e-6)


@pytest.mark.parametrize("asked", ["late", "early"])
def test_demand_counts_where_what_is_recent_is_asked_for(make_sequences, asked):
    """Half of the known items were taken long ago, the others of late; which of the two is asked for."""
    model, content = model_and_content()
    known, rng = model.items, np.random.default_rng(5)
    early, late = known[::2], known[1::2]
    log = make_sequences([[*early, *late]], [[*[0] * len(early), *[50 * 86_400] * len(late)]])
    cases = make_split(False).validation
    chosen = late if asked == "late" else early
    targets = rng.choice(chosen, len(cases)).astype(np.int32)
    cases = replace(cases, target_items=targets)
    found = find_demand(model, content, log, cases)

    def ndcg(demand):
        again, _ = model_and_content()
        users = user_vectors(
            again.towers, content, cases.history_offsets, cases.history_items, residuals=again.by_item()
        )
        lift_items(again, content, log, cases, demand)
        vectors = item_vectors(again.towers, content, again.by_item())
        scores = (users @ vectors.T).numpy()
        answers = evaluate({"": lambda part: scores[[cases.user_ids.index(u) for u in part.user_ids]]}, cases)
        return answers[""].per_case("ndcg_at_10").mean()

    if asked == "early":
        assert found == Demand()
    else:
        assert found.lift >= 0.1
        assert ndcg(found) > 1.2 * ndcg(Demand())
        assert ndcg(found) >= ndcg(Demand(0.05, 2.0)) - 1e-9


def test_without_a_case_nothing_is_found(make_sequences):
    model, content = model_and_content()
    cases = make_split(False).validation.select(slice(0))
    assert find_demand(model, content, make_sequences([[0, 2]]), cases) == Demand()


def by_time(parts):
    return replace(parts, kind="global_time")


@pytest.mark.parametrize("final", ["refit", "continue", "none"])
def test_what_is_found_by_time_is_served_and_left_out_of_training(final):
    """Towers are trained as without it, and the residuals are theirs and the lift."""
    recipe = RECIPE.model_copy(update={"final": final, "loss": "softmax", "new_item_share": 0.0})
    seen = []
    fitted = fit(
        by_time(make_split(True)), content_of(), WITH_RESIDUALS, recipe, seed=0,
        on_tuned=lambda model: seen.append(model.by_item()),
    )  # fmt: skip
    plain = fit(make_split(True), content_of(), WITH_RESIDUALS, recipe, seed=0)
    demand = fitted.tuning.placing.demand
    assert demand.lift > 0  # in this world a few items are taken most
    assert plain.tuning.placing.demand.lift == 0
    for name, tensor in plain.towers.named_parameters():
        assert torch.equal(tensor, dict(fitted.towers.named_parameters())[name]), name
    lifted = fitted.residuals.lookup(IDS) - plain.residuals.lookup(IDS)
    assert np.abs(lifted).max() > 0.01
    np.testing.assert_allclose(fitted.residuals.unlifted(IDS), plain.residuals.lookup(IDS), atol=1e-6)
    assert np.linalg.matrix_rank(lifted, tol=1e-4) == 1
    assert seen[0].any()


def test_a_tuning_that_is_handed_over_lifts_as_it_says():
    found = Tuning(2, placing=Placing(demand=Demand(0.5, 3.0)))
    parts = by_time(make_split(True))
    fitted = fit(parts, content_of(), WITH_RESIDUALS, RECIPE, seed=0, tuning=found)
    assert fitted.tuning.placing.demand == Demand(0.5, 3.0)
    assert not np.allclose(fitted.residuals.lookup(IDS), fitted.residuals.unlifted(IDS))


def test_a_child_goes_on_from_what_was_learnt_without_the_lift(monkeypatch):
    monkeypatch.setattr("learn_features.training.placing.find_demand", lambda *_: Demand(0.7, 2.0))
    recipe = RECIPE.model_copy(update={"loss": "softmax", "new_item_share": 0.0, "final": "none"})
    parts = by_time(make_split(True))
    first = fit(parts, content_of(), WITH_RESIDUALS, recipe, seed=0)
    still = recipe.model_copy(update={"epochs": 1, "learning_rate": 1e-12, "final_learning_rate": 1e-12})
    parent = replace(parent_of(first), split="global_time")
    child = fit(parts, content_of(), WITH_RESIDUALS, still, seed=0, parent=parent)
    np.testing.assert_allclose(child.residuals.unlifted(IDS), first.residuals.unlifted(IDS), atol=1e-4)
    np.testing.assert_allclose(child.residuals.lookup(IDS), first.residuals.lookup(IDS), atol=1e-4)
    assert np.abs(first.residuals.lookup(IDS) - first.residuals.unlifted(IDS)).max() > 0.1
