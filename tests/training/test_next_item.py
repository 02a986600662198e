"""What the next-item objective asks of its softmax, in full and of a sample."""

from collections import Counter

import numpy as np
import pytest
import torch

from learn_features.evaluation.baselines.item_cf import ItemCFParameters
from learn_features.towers.model import Towers
from learn_features.training import losses, next_item
from learn_features.training.content_table import ContentTable
from learn_features.training.item_to_item import ItemToItem
from learn_features.training.next_item import NextItem
from learn_features.training.trained import Trained
from tests.training.world import ITEMS, RECIPE, TOWERS, content_of, make_split

DRAWN = 40


@pytest.fixture
def asked(monkeypatch):
    """What `full_softmax` was asked, call by call."""
    calls, real = [], losses.full_softmax

    def spy(users, items, positives, scale, **more):
        calls.append({"items": items, "positives": positives, **more})
        return real(users, items, positives, scale, **more)

    monkeypatch.setattr(losses, "full_softmax", spy)
    return calls


def lose(recipe, seeds):
    """Loss of the first batch, with other draws for each of `seeds`; the batch."""
    table, train = ContentTable(content_of(), torch.device("cpu")), make_split(True).train
    task = NextItem(train, table, recipe, TOWERS.max_length, ItemToItem(ItemCFParameters()))
    model = Trained(Towers(TOWERS), np.unique(train.items).astype(np.int64), ITEMS)
    batch = next(iter(task.batches(np.random.default_rng(0))))
    for seed in seeds:
        task.loss(model, batch, np.random.default_rng(seed))
    return batch, len(model.items)


def test_a_sample_has_as_many_negatives_as_asked_for_and_the_teachers_votes_among_them(asked):
    batch, trained = lose(RECIPE.model_copy(update={"max_candidates": DRAWN}), seeds=(0, 1, 0))
    assert trained > DRAWN
    for call in asked:
        drawn = call["log_weights"] > -torch.inf
        assert int(drawn.sum()) == DRAWN < len(call["items"])
        torch.testing.assert_close(
            call["log_weights"][drawn], torch.full((DRAWN,), np.log(trained / DRAWN)).float()
        )
        assert call["votes"].shape == (len(batch.targets), len(call["items"]))
        assert call["votes"][:, drawn].any()
        assert not call["votes"][:, ~drawn].any()
        entries = (call["seen"] < len(call["items"])).sum(1)
        np.testing.assert_array_equal(entries, batch.positions + 1)
    first, other, again = (call["log_weights"].isfinite().nonzero().tolist() for call in asked)
    assert first == again != other


def test_a_catalogue_of_the_sample_size_is_ranked_whole(asked):
    trained = lose(RECIPE, seeds=(0,))[1]
    lose(RECIPE.model_copy(update={"max_candidates": trained}), seeds=(0,))
    for call in asked:
        assert call["log_weights"] is None
        assert len(call["items"]) == trained


def test_too_many_items_have_no_teacher(asked, monkeypatch):
    monkeypatch.setattr(next_item, "TAUGHT_ITEMS", 10)
    lose(RECIPE, seeds=(0,))
    assert asked[0]["votes"] is None


@pytest.mark.parametrize(
    ("max_steps", "at_most", "pairs"),
    [(15, 1_800, [150] * 5), (9, 1_800, [250] * 3), (9, 200, [200] * 3), (9, 100, [150] * 3)],
)
def test_a_step_grows_until_all_epochs_go_through_the_log(max_steps, at_most, pairs):
    """750 pairs, 3 epochs. Up to a limit, and with one below it not at all: an epoch is then a part of it."""
    recipe = RECIPE.model_copy(update={"max_steps": max_steps, "max_pairs_per_step": at_most})
    task = NextItem(
        make_split(True).train, ContentTable(content_of(), torch.device("cpu")), recipe, TOWERS.max_length
    )
    found = [len(batch.targets) for batch in task.batches(np.random.default_rng(0))]
    assert len(found) == task.steps
    assert found == pytest.approx(pairs, abs=25)


@pytest.mark.parametrize(
    ("at_least", "max_steps", "steps"),
    [(5, 3_000, 5), (15, 3_000, 15), (75, 3_000, 24), (75, 30, 10)],
)
def test_a_step_shrinks_until_an_epoch_of_a_short_log_has_enough(at_least, max_steps, steps):
    """750 pairs, 3 epochs. Not below 32, nor so far that an epoch would not go through the log."""
    recipe = RECIPE.model_copy(update={"min_epoch_steps": at_least, "max_steps": max_steps})
    task = NextItem(
        make_split(True).train, ContentTable(content_of(), torch.device("cpu")), recipe, TOWERS.max_length
    )
    found = [len(batch.targets) for batch in task.batches(np.random.default_rng(0))]
    assert task.steps == steps
    assert abs(len(found) - steps) <= 1  # windows are not cut to fit
    assert sum(found) == 750


@pytest.mark.parametrize(("at_least", "share"), [(5, 0.4), (6, 0.6)])
def test_the_teacher_says_more_of_a_short_log(at_least, share):
    """750 pairs are five steps of 150."""
    recipe = RECIPE.model_copy(update={"min_epoch_steps": at_least})
    content = ContentTable(content_of(), torch.device("cpu"))
    taught = NextItem(
        make_split(True).train, content, recipe, TOWERS.max_length, ItemToItem(ItemCFParameters())
    )
    assert taught.votes_share == share
    assert recipe.model_copy(update={"teacher_share": 0.7}).votes_share(750) == 0.7


BASKETS = [[1, 2, 3], [4, 5], [6]]
"""Of each user one moment: nothing is strictly before anything, so all three pairs of an epoch lie within."""


def pairs_of(make_sequences, backward, epochs):
    """How often each (last of the context, target) is asked for."""
    task = NextItem(
        make_sequences(BASKETS, [[0, 0, 0], [4, 4], [4]]),
        ContentTable(content_of(), torch.device("cpu")),
        RECIPE,
        TOWERS.max_length,
        ItemToItem(ItemCFParameters(backward=backward)),
    )
    asked = Counter()
    for epoch in range(epochs):
        for batch in task.batches(np.random.default_rng(epoch)):
            contexts = batch.items[batch.rows, batch.positions]
            asked.update(zip(contexts.tolist(), batch.targets.tolist(), strict=True))
    return asked


ANY_ORDER = {(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2), (4, 5), (5, 4)}


def test_those_of_one_moment_are_learnt_from_each_other_in_any_order(make_sequences):
    asked = pairs_of(make_sequences, backward=1.0, epochs=20)
    assert asked.keys() == ANY_ORDER
    assert asked.total() == 3 * 20
    assert asked == pairs_of(make_sequences, backward=1.0, epochs=20)  # the epoch's generator decides alone


def test_where_order_counts_moments_say_less(make_sequences):
    """As many pairs within moments as backward pairs count in item-CF."""
    asked = pairs_of(make_sequences, backward=0.4, epochs=200)
    assert asked.keys() == ANY_ORDER
    assert asked.total() == pytest.approx(0.4 * 3 * 200, rel=0.15)
    assert not pairs_of(make_sequences, backward=0.0, epochs=20)
