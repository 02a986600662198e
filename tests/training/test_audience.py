"""What new items borrow, against audiences worked out user by user and the evaluation harness's ranking."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from learn_features.data.cases import Cases
from learn_features.evaluation import harness
from learn_features.evaluation.harness import evaluate
from learn_features.towers.model import Towers
from learn_features.towers.scoring import item_vectors, user_vectors
from learn_features.training import audience, placing
from learn_features.training.audience import (
    SHRINK,
    STRENGTHS,
    by_strength,
    find_strength,
    lend,
    set_strength,
)
from learn_features.training.fit import Tuning, fit
from learn_features.training.new_items import KNOWN, NewItems, mark_known, move_new_items
from learn_features.training.placing import Placing
from learn_features.training.trained import Trained
from tests.training import world
from tests.training.world import ITEMS, RECIPE, content_of, make_split, parent_of

WITH_RESIDUALS = world.WITH_RESIDUALS.model_copy(update={"similar_items": 200})
NEW = np.arange(5, ITEMS, 3)  # so many that histories hold them too
OLD = np.setdiff1d(np.arange(ITEMS), NEW)


def log_and_what_was_learned():
    log = make_split(True).train
    log = replace(log, times_us=log.times_us**2 * 40_000_000)  # steps of 40 s and more
    return log, log.where(~np.isin(log.items, NEW))


def model_and_content(**changes):
    """Towers that know each item's cluster by its residual, and content that says it to those who compare."""
    torch.manual_seed(3)
    towers = Towers(WITH_RESIDUALS.model_copy(update=changes))
    model = Trained(towers, OLD.astype(np.int64), ITEMS)
    clusters = np.random.default_rng(1).normal(size=(6, WITH_RESIDUALS.dimension))
    model.set_residuals(3 * clusters[OLD % 6].astype(np.float32))
    content = torch.from_numpy(content_of())
    model.towers.fit_input(content)
    for gaps in [] if towers.user.gaps is None else towers.user.gaps.parameters():
        torch.nn.init.normal_(gaps)  # zeros say nothing
    torch.nn.init.zeros_(model.towers.user.gate.weight)
    gate = 0.0 if towers.config.time_gaps else -20.0  # a user is the sum of the history's vectors
    torch.nn.init.constant_(model.towers.user.gate.bias, gate)
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
                times = torch.from_numpy(log.times_us[log.offsets[user] :][:at] / 1e6).float()
                gaps = torch.cat((torch.tensor([-1.0]), times.diff()))[None]
                users.append(
                    model.towers.user(
                        content[before].float()[None],
                        torch.tensor([at]),
                        residuals[before][None],
                        gaps if model.towers.config.time_gaps else None,
                    )[0]
                )
                targets.append(int(items[at]))
    vectors, mean = torch.stack(users), torch.stack(users).mean(0)
    return {
        item: (vectors[torch.tensor(targets) == item] - mean).sum(0) / (targets.count(item) + SHRINK)
        for item in set(targets)
    }


@pytest.mark.parametrize("time_gaps", [False, True])
def test_audiences_are_the_mean_users_that_took_an_item(time_gaps):
    model, content = model_and_content(time_gaps=time_gaps)
    _, learned = log_and_what_was_learned()
    lend(model, content, learned, 2.0)
    similar, expected = model.towers.item.similar, slow_audiences(model, content, learned)
    assert float(similar.strength) == 2.0
    taken = sorted(expected)
    with torch.no_grad():
        projected = model.towers.item.aligned(content[taken].float()).numpy()
        spread = float(np.sqrt(projected.var(axis=0).sum()))
        contents = F.normalize(model.towers.item.input(content[taken].float()), dim=1)
    torch.testing.assert_close(similar.contents, contents)
    audiences = spread * torch.stack([expected[item] for item in taken])
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


@pytest.mark.parametrize("time_gaps", [False, True])
def test_the_strength_is_the_least_that_ranks_new_items_next_to_best(time_gaps, monkeypatch):
    log, learned = log_and_what_was_learned()
    model, content = model_and_content(time_gaps=time_gaps)
    found = find_strength(model, content, learned, log, NEW)
    for strength in (1.5, found, 0.0):  # what was measured is there to be lent at any strength
        set_strength(model, strength)
        assert (model.towers.item.similar.items > 0) == (strength > 0)
        one = item_vectors(model.towers, content, model.by_item())
        lend(model, content, learned, strength)
        torch.testing.assert_close(item_vectors(model.towers, content, model.by_item()), one)
    assert model.towers.item.similar.items == 0
    cases = _cases_of_new(log, learned)
    assert len(cases) > 40
    values = []
    for strength in STRENGTHS:
        lend(model, content, learned, strength)
        vectors = item_vectors(model.towers, content, model.by_item())
        users = user_vectors(
            model.towers, content, cases.history_offsets, cases.history_items,
            residuals=model.by_item(), times_us=cases.history_times_us,
        )  # fmt: skip
        scores = (users @ vectors.T).numpy()
        answers = evaluate(
            {"": lambda part, scores=scores: scores[[int(user) for user in part.user_ids]]},
            cases,
            candidates=np.isin(np.arange(ITEMS), NEW),
        )
        values.append(float(answers[""].per_case("ndcg_at_10").mean()))
    assert by_strength(model, content, learned, log, NEW) == pytest.approx(values, abs=1e-6)
    monkeypatch.setattr(harness, "SCORES_AT_ONCE", 7 * len(NEW))  # a few cases at a time
    assert by_strength(model, content, learned, log, NEW) == pytest.approx(values, abs=1e-6)
    assert time_gaps or max(values) > 1.02 * values[0]
    enough = [
        strength for strength, value in zip(STRENGTHS, values, strict=True) if value >= 0.99 * max(values)
    ]
    assert found == enough[0]
    assert time_gaps or found > 0


def _cases_of_new(log, learned) -> Cases:
    """Whenever somebody takes a new item for the first time and nothing known later, with all before it."""
    known = {user: learned.items[a:b] for user, a, b in zip(
        learned.user_ids, learned.offsets, learned.offsets[1:], strict=False)}  # fmt: skip
    histories, times, targets = [], [], []
    for number, user in enumerate(log.user_ids):
        items = log.items[log.offsets[number] : log.offsets[number + 1]]
        whens = log.times_us[log.offsets[number] : log.offsets[number + 1]]
        end = len(items)
        while end and items[end - 1] in NEW:
            end -= 1
        assert list(known.get(user, [])) == [item for item in items if item not in NEW]
        for at in range(max(end, 1), len(items)):
            if items[at] not in items[:at]:
                histories.append(items[:at])
                times.append(whens[:at])
                targets.append(items[at])
    offsets = np.concatenate([[0], np.cumsum([len(history) for history in histories])])
    return Cases(
        [str(case) for case in range(len(targets))], offsets, np.concatenate(histories),
        np.concatenate(times), np.arange(len(targets) + 1), np.array(targets, dtype=np.int32),
        np.zeros(len(targets), dtype=np.int64),
    )  # fmt: skip


def test_where_hardly_anything_is_better_nothing_is_lent(monkeypatch):
    log, learned = log_and_what_was_learned()
    model, content = model_and_content()
    monkeypatch.setattr(audience, "by_strength", lambda *_: [0.996, 1.0, 0.9, 0.8, 0.7, 0.6])
    assert find_strength(model, content, learned, log, NEW) == 0.0
    monkeypatch.setattr(audience, "by_strength", lambda *_: [0.9, 0.98, 0.996, 0.99, 1.0, 0.6])
    assert find_strength(model, content, learned, log, NEW) == STRENGTHS[2]
    monkeypatch.setattr(audience, "by_strength", lambda *_: [])
    assert find_strength(model, content, learned, log, NEW) == 0.0


def test_without_takings_after_what_was_learned_there_is_nothing_to_rank():
    _, learned = log_and_what_was_learned()
    model, content = model_and_content()
    assert by_strength(model, content, learned, learned, NEW) == []


def test_only_items_without_a_residual_borrow_and_users_do_not():
    model, content = model_and_content()
    _, learned = log_and_what_was_learned()
    residuals, cases = model.by_item(), make_split(True).validation
    residuals[NEW[0]] = KNOWN  # there, and nobody took it

    def all_vectors():
        users = user_vectors(
            model.towers, content, cases.history_offsets, cases.history_items, residuals=residuals
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
    seen = {}

    def find(model, content, sequences, log, new):
        seen["learned"], seen["log"], seen["new"] = sequences, log, new
        lend(model, content, sequences, 1.0)
        return 0.5

    def move(model, *_):
        seen["lent"] = (model.towers.item.similar.items, float(model.towers.item.similar.strength))
        return 0.0

    monkeypatch.setattr(placing, "find_strength", find)
    monkeypatch.setattr(placing, "find_move", move)
    recipe, parts = RECIPE.model_copy(update={"new_item_share": 0.2}), make_split(True)
    first = fit(parts, content_of(), WITH_RESIDUALS, recipe, seed=0)
    assert len(seen["new"]) == round(0.2 * len(np.unique(parts.train.items)))
    assert not np.isin(seen["learned"].items, seen["new"]).any()
    assert seen["log"] is parts.train_and_validation
    assert seen["lent"] == (len(set(_targets(seen["learned"]))), 0.5)
    similar = first.towers.item.similar
    assert first.tuning.placing.new_items.borrowing == 0.5 == float(similar.strength)
    assert similar.items == len(set(_targets(parts.train_and_validation)))
    again = fit(parts, content_of(), WITH_RESIDUALS, recipe, seed=1,
                tuning=Tuning(2, placing=Placing(NewItems(borrowing=1.5))))  # fmt: skip
    assert float(again.towers.item.similar.strength) == 1.5
    child = fit(parts, content_of(), WITH_RESIDUALS, recipe, seed=1,
                parent=parent_of(first))  # fmt: skip
    assert float(child.towers.item.similar.strength) == 0.5
    assert not torch.equal(child.towers.item.similar.audiences, similar.audiences)  # of its own log and users
    assert child.towers.item.similar.items == similar.items


def test_the_strength_means_the_same_after_a_move():
    model, content = model_and_content()
    _, learned = log_and_what_was_learned()
    lend(model, content, learned, 1.0)
    before = model.towers.item.similar.audiences
    move_new_items(model, content, make_split(True).validation, 0.7)
    lend(model, content, learned, 1.0)
    torch.testing.assert_close(model.towers.item.similar.audiences, before, atol=1e-4, rtol=1e-3)


def test_a_trained_item_without_a_residual_is_known():
    model, content = model_and_content()
    _, learned = log_and_what_was_learned()
    model.residuals.data[3] = 0
    before = item_vectors(model.towers, content, model.by_item())[model.items[3]]
    lend(model, content, learned, 1.0)
    mark_known(model)
    after = item_vectors(model.towers, content, model.by_item())[model.items[3]]
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
