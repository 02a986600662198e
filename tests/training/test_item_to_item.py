"""The teacher is whichever model ranks better, asked here again from its parameters alone."""

import json

import numpy as np
import pytest
import torch

from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.ease import Ease, EaseParameters
from learn_features.evaluation.baselines.item_cf import ItemCF, ItemCFParameters
from learn_features.training import item_to_item
from learn_features.training.item_to_item import ItemToItem, tuned_item_to_item
from learn_features.training.ranks import Ranks, alone
from tests.training.world import split_of

GROUPS, SIZE = 20, 6


def steps(rng: np.random.Generator) -> np.ndarray:
    """What comes next depends on the item before alone: order is all there is."""
    first = rng.integers(0, GROUPS * SIZE, size=(400, 1))
    return (first + np.arange(5) * 7 + rng.integers(0, 2, size=(400, 5))) % (GROUPS * SIZE)


def sets(rng: np.random.Generator) -> np.ndarray:
    """Up to three groups a user and the ones after them, in any order: neighbours say much twice, and EASE
    knows it."""
    users = []
    for _ in range(400):
        own = rng.integers(0, GROUPS, size=3)
        groups = np.unique(np.concatenate((own, (own + 1) % GROUPS)))
        pool = (SIZE * groups[:, None] + np.arange(SIZE)).ravel()
        rest = np.setdiff1d(np.arange(GROUPS * SIZE), pool)
        pool = np.concatenate((pool, rng.choice(rest, size=max(0, 16 - len(pool)), replace=False)))
        users.append(rng.permutation(pool)[:16])
    return np.array(users)


@pytest.mark.parametrize(("world", "ease_wins"), [(steps, False), (sets, True)])
def test_the_better_one_teaches(world, ease_wins):
    parts = split_of(world(np.random.default_rng(0)))
    found = tuned_item_to_item(parts, GROUPS * SIZE, alone())
    assert isinstance(found.cf, ItemCFParameters)
    assert (found.best is not found.cf) == ease_wins
    task = Task(parts, GROUPS * SIZE)
    of_cf = task.value(ItemCF().fit(task, parts.train, found.cf))
    of_ease = max(
        task.value(Ease().fit(task, parts.train, parameters))
        for parameters in ([found.ease] if found.ease else Ease().tune(task, 60.0).tried)
    )
    assert (of_ease > of_cf) == ease_wins


def test_the_first_rank_decides_for_all(monkeypatch):
    parts = split_of(sets(np.random.default_rng(0)))
    found = tuned_item_to_item(parts, GROUPS * SIZE, alone())
    cpu = torch.device("cpu")
    said: list[list[float]] = []
    monkeypatch.setattr(Ranks, "told", lambda self, values: said.append(values) or said[0])
    assert tuned_item_to_item(parts, GROUPS * SIZE, Ranks(0, 2, cpu)) == found
    monkeypatch.setattr(item_to_item, "_tuned", None)  # others do not even try
    assert tuned_item_to_item(parts, GROUPS * SIZE, Ranks(1, 2, cpu)) == found
    assert len(said[0]) == len(said[1])


@pytest.mark.parametrize("ease", [None, EaseParameters(penalty=250.0, age=0.5)])
def test_numbers_say_all(ease):
    found = ItemToItem(ItemCFParameters(window=17, backward=0.3, age=1.5), ease)
    assert ItemToItem.of(json.loads(json.dumps(found.as_numbers()))) == found


def test_a_large_catalogue_is_spared_ease(monkeypatch):
    parts = split_of(sets(np.random.default_rng(0)))
    monkeypatch.setattr(item_to_item, "EASE_ITEMS", len(np.unique(parts.train_and_validation.items)) - 1)
    assert tuned_item_to_item(parts, GROUPS * SIZE, alone()).ease is None
