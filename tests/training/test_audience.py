"""What new items borrow, against audiences worked out user by user and the evaluation harness's ranking."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from learn_features.data.cases import Cases
from learn_features.evaluation.harness import evaluate
from learn_features.towers.model import Towers
from learn_features.towers.scoring import item_vectors, user_vectors
from learn_features.training import audience
from learn_features.training.audience import SHRINK, STRENGTHS, find_strength, lend
from learn_features.training.fit import Tuning, fit
from learn_features.training.new_items import KNOWN, NewItems
from learn_features.training.trained import Trained
from learn_features.training.warm_start import Parent
from tests.training import world
from tests.training.world import ITEMS, RECIPE, content_of, make_split

WITH_RESIDUALS = world.WITH_RESIDUALS.model_copy(update={"similar_items": 200})
NEW = np.arange(5, ITEMS, 8)
OLD = np.setdiff1d(np.arange(ITEMS), NEW)


def log_and_what_was_learned():
    log = make_split(True).train
    return log, log.where(~np.isin(log.items, NEW))


def model_and_content(seed: int = 3):
    """Towers that know each item's cluster by its residual, and content that says it to those who compare."""
    torch.manual_seed(seed)
    model = Trained(Towers(WITH_RESIDUALS), OLD.astype(np.int64), ITEMS)
    clusters = np.random.default_rng(1).normal(size=(6, WITH_RESIDUALS.dimension))
    model.set_residuals(3 * clusters[OLD % 6].astype(np.float32))
    content = torch.from_numpy(content_of())
    model.towers.fit_input(content)
    torch.nn.init.zeros_(model.towers.user.gate.weight)
    torch.nn.init.constant_(model.towers.user.gate.bias, -20.0)  # a user is the sum of the history's vectors
    return model.eval(), content


def slow_audiences(model, content, log):
    """Item → shrunken mean difference from the mean user, one history at a time."""
    users, targets = [], []
    residuals = model.by_item()
    with torch.no_grad():
        for user in range(len(log)):
            items = torch.from_numpy(log.items[log.offsets[user] : log.offsets[user + 1]].astype(np.int64))
            for at in range(1, len(items)):
                before = items[:at]
                users.append(
                    model.towers.user(
                        content[before].float()[None], torch.tensor([at]), residuals[before][None]
                    )[0]
                )
                targets.append(int(items[at]))
    vectors, mean = torch.stack(users), torch.stack(users).mean(0)
    return {
        item: (vectors[torch.tensor(targets) == item] - mean).sum(0) / (targets.count(item) + SHRINK)
        for item in set(targets)
    }


def test_audiences_are_the_mean_users_that_took_an_item():
    model, content = model_and_content()
    _, learned = log_and_what_was_learned()
    lend(model, content, learned, 2.0)
    similar, expected = model.towers.item.similar, slow_audiences(model, content, learned)
    assert float(similar.strength) == 2.0
    taken = sorted(expected)
    with torch.no_grad():
        length = model.towers.item.aligned(content[taken].float()).square().sum(1).mean().sqrt()
        contents = F.normalize(model.towers.item.input(content[taken].float()), dim=1)
    torch.testing.assert_close(similar.contents, contents)
    audiences = length * torch.stack([expected[item] for item in taken])
    torch.testing.assert_close(similar.audiences, audiences, atol=1e-5, rtol=1e-4)


def test_those_most_often_taken_lend():
    model, content = model_and_content()
    _, learned = log_and_what_was_learned()
    model.towers.config = WITH_RESIDUALS.model_copy(update={"similar_items": 7})
    lend(model, content, learned, 2.0)
    with torch.no_grad():
        contents = F.normalize(model.towers.item.input(content.float()), dim=1)
    chosen = (model.towers.item.similar.contents @ contents.T).argmax(dim=1)
    times = np.bincount(_targets(learned), minlength=ITEMS)
    assert len(set(chosen.tolist())) == 7
    assert times[chosen].min() >= np.sort(times)[-7]


def _targets(log):
    firsts = set(log.offsets[:-1].tolist())
    return [item for place, item in enumerate(log.items) if place not in firsts]


def test_the_strength_is_the_one_that_ranks_new_items_best():
    log, learned = log_and_what_was_learned()
    model, content = model_and_content()
    found = find_strength(model, content, learned, log, NEW)
    cases = _cases_of_new(log)
    values = []
    for strength in STRENGTHS:
        lend(model, content, learned, strength)
        vectors = item_vectors(model.towers, content, model.by_item())
        users = user_vectors(
            model.towers, content, cases.history_offsets, cases.history_items, 10, residuals=model.by_item()
        )
        scores = (users @ vectors.T).numpy()
        answers = evaluate(
            {"": lambda part, scores=scores: scores[[int(user) for user in part.user_ids]]},
            cases,
            candidates=np.isin(np.arange(ITEMS), NEW),
        )
        values.append(float(answers[""].per_case("ndcg_at_10").mean()))
    assert max(values) > 1.05 * values[0]
    assert values[STRENGTHS.index(found)] == pytest.approx(max(values), abs=1e-6)


def _cases_of_new(log) -> Cases:
    """Whenever somebody takes a new item for the first time, with all before it."""
    histories, targets = [], []
    for user in range(len(log)):
        items = log.items[log.offsets[user] : log.offsets[user + 1]]
        for at in range(1, len(items)):
            if items[at] in NEW:
                histories.append(items[:at])
                targets.append(items[at])
    offsets = np.concatenate([[0], np.cumsum([len(history) for history in histories])])
    entries = np.concatenate(histories)
    return Cases(
        [str(case) for case in range(len(targets))], offsets, entries,
        np.zeros(len(entries), dtype=np.int64),
        np.arange(len(targets) + 1), np.array(targets, dtype=np.int32),
        np.zeros(len(targets), dtype=np.int64),
    )  # fmt: skip


def test_where_nothing_is_better_nothing_is_lent(monkeypatch):
    log, learned = log_and_what_was_learned()
    model, content = model_and_content()
    monkeypatch.setattr(audience, "_ndcg", lambda *_: 0.5)
    strength = find_strength(model, content, learned, log, NEW)
    lend(model, content, learned, strength)
    assert strength == 0.0
    assert len(model.towers.item.similar) == 0


def test_only_items_without_a_residual_borrow_and_users_do_not():
    model, content = model_and_content()
    _, learned = log_and_what_was_learned()
    residuals, cases = model.by_item(), make_split(True).validation
    residuals[NEW[0]] = KNOWN  # there, and nobody took it

    def all_vectors():
        users = user_vectors(
            model.towers, content, cases.history_offsets, cases.history_items, 10, residuals=residuals
        )
        return item_vectors(model.towers, content, residuals), users

    (items, users) = all_vectors()
    lend(model, content, learned, 1.0)
    (items_after, users_after) = all_vectors()
    known = np.append(OLD, NEW[0])
    assert torch.equal(items_after[known], items[known])
    assert torch.equal(users_after, users)
    assert float((items_after[NEW[1:]] - items[NEW[1:]]).norm(dim=1).min()) > 0.01
    with torch.no_grad():
        by_hand = model.towers.item.aligned(content.float()) + model.towers.item.similar(
            model.towers.item.input(content.float())
        )
    torch.testing.assert_close(items_after[NEW[1:]], F.normalize(by_hand, dim=1)[NEW[1:]])


def test_training_finds_it_and_a_child_borrows_as_its_parent(monkeypatch):
    monkeypatch.setattr(audience, "STRENGTHS", (0.5,))
    recipe = RECIPE.model_copy(update={"new_item_share": 0.2})
    first = fit(make_split(True), content_of(), WITH_RESIDUALS, recipe, seed=0)
    similar = first.towers.item.similar
    assert first.tuning.new_items.borrowing == 0.5 == float(similar.strength)
    assert len(similar) == len(set(_targets(make_split(True).train_and_validation)))
    again = fit(make_split(True), content_of(), WITH_RESIDUALS, recipe, seed=1,
                tuning=Tuning(2, new_items=NewItems(borrowing=1.5)))  # fmt: skip
    assert float(again.towers.item.similar.strength) == 1.5
    child = fit(make_split(True), content_of(), WITH_RESIDUALS, recipe, seed=1,
                parent=Parent(first.towers, "s0", first.residuals))  # fmt: skip
    assert float(child.towers.item.similar.strength) == 0.5
    assert not torch.equal(child.towers.item.similar.audiences, similar.audiences)  # its own log's and users'
    assert len(child.towers.item.similar) == len(similar)
