"""The teacher is whichever model ranks better, asked here again from its parameters alone."""

import numpy as np
import pytest

from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.ease import Ease
from learn_features.evaluation.baselines.item_cf import ItemCF, ItemCFParameters
from learn_features.training import item_to_item
from learn_features.training.item_to_item import tuned_item_to_item
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
    found = tuned_item_to_item(parts, GROUPS * SIZE)
    assert isinstance(found.cf, ItemCFParameters)
    assert (found.best is not found.cf) == ease_wins
    task = Task(parts, GROUPS * SIZE)
    of_cf = task.value(ItemCF().fit(task, parts.train, found.cf))
    of_ease = max(
        task.value(Ease().fit(task, parts.train, parameters))
        for parameters in ([found.ease] if found.ease else Ease().tune(task, 60.0).tried)
    )
    assert (of_ease > of_cf) == ease_wins


def test_a_large_catalogue_is_spared_ease(monkeypatch):
    parts = split_of(sets(np.random.default_rng(0)))
    monkeypatch.setattr(item_to_item, "EASE_ITEMS", len(np.unique(parts.train_and_validation.items)) - 1)
    assert tuned_item_to_item(parts, GROUPS * SIZE).ease is None
