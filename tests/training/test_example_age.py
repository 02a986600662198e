"""Example ages reach the objective and the cases: a world in which only the time tells what is in demand."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.errors import ConfigError
from learn_features.evaluation.baselines.item_cf import ItemCFParameters
from learn_features.evaluation.harness import evaluate
from learn_features.towers.scoring import scorer
from learn_features.training.content_table import ContentTable
from learn_features.training.fit import fit
from learn_features.training.item_to_item import ItemToItem
from learn_features.training.next_item import NextItem
from learn_features.training.objectives import objective
from learn_features.training.ranks import alone
from tests.training.world import RECIPE, TOWERS, C, content_of

NEUTRAL, KIND = 20, 20
"""Items 0 to 19 are taken at all times, 20 to 39 were in demand long ago, 40 to 59 are lately."""
ITEMS, USERS = NEUTRAL + 2 * KIND, 900
DAY_US = 86_400_000_000
END_US = 1_700_000_000_000_000


def make_split() -> Split:
    """Everybody takes two neutral items within an hour, then one that is in demand.

    One user alone is there in the last half day: what is in demand at the end shows in what came before.
    """
    rng = np.random.default_rng(0)
    late = np.arange(USERS) % 2
    days_ago = np.where(late, rng.uniform(0.5, 2, USERS), rng.uniform(100, 200, USERS))
    days_ago[1] = 0
    times = END_US - (days_ago[:, None] * DAY_US).astype(np.int64) + np.array([-2, -1, 0]) * 60_000_000
    items = rng.integers(0, NEUTRAL, (USERS, 3))
    items[:, 2] = NEUTRAL + late * KIND + rng.integers(0, KIND, USERS)
    known, asked = np.arange(USERS) % 3 > 0, np.arange(USERS) % 3 == 0

    def sequences(which: np.ndarray) -> Sequences:
        ids = [str(user) for user in np.flatnonzero(which)]
        offsets = np.arange(0, 3 * len(ids) + 1, 3)
        return Sequences(ids, offsets, items[which].ravel().astype(np.int32), times[which].ravel())

    train = sequences(known)
    cases = Cases(
        user_ids=[str(user) for user in np.flatnonzero(asked)],
        history_offsets=np.arange(0, 2 * asked.sum() + 1, 2),
        history_items=items[asked, :2].ravel().astype(np.int32),
        history_times_us=times[asked, :2].ravel(),
        target_offsets=np.arange(asked.sum() + 1),
        target_items=items[asked, 2].astype(np.int32),
        request_times_us=times[asked, 2],
        ages_us=train.times_us.max() - times[asked, 1],
    )
    return Split("leave_one_out", train, cases, train, cases, train, END_US, has_times=True)


@pytest.mark.parametrize("changes", [{}, {"max_candidates": 50}])
def test_what_only_the_time_tells_is_learned(changes):
    parts = make_split()
    recipe = RECIPE.model_copy(
        update={
            "epochs": 12,
            "pairs_per_step": 60,
            "patience": 12,
            "ema": 0.0,
            "final": "none",
            "new_item_share": 0.0,
            **changes,
        }
    )
    kinds, noise = np.random.default_rng(1).normal(size=(3, C)), np.random.default_rng(2)
    content = (kinds[np.arange(ITEMS) // KIND] + noise.normal(size=(ITEMS, C))).astype(np.float16)
    recalls: dict[bool, list[float]] = {True: [], False: []}
    for example_age in (True, False):
        towers = TOWERS.model_copy(update={"example_age": example_age, "residuals": True, "dropout": 0.0})
        fitted = fit(parts, content, towers, recipe, seed=0)
        known = fitted.residuals.lookup([str(item) for item in range(ITEMS)])
        score = scorer(fitted.towers, content, known)
        late = parts.validation.target_items >= NEUTRAL + KIND
        for asked in (late, ~late):
            found = evaluate({"": score}, parts.validation.select(asked))[""].means()
            recalls[example_age].append(found["recall_at_10"])
        if example_age:  # asked after the log, as served vectors are: what is in demand lately
            top = np.argsort(-score(replace(parts.validation, ages_us=None)), axis=1)[:, :5]
            lately, long_ago = (top >= NEUTRAL + KIND).sum(), (top // KIND == 1).sum()
            assert lately > 4 * long_ago, (lately, long_ago)
    # not 10 of 20, as neutral items compete; without the time both kinds share what the neutral ones leave
    assert min(recalls[True]) > max(recalls[False]), recalls
    assert sum(recalls[True]) > 1.3 * sum(recalls[False]), recalls


def test_a_loss_that_reads_no_ages_refuses_them():
    towers = TOWERS.model_copy(update={"example_age": True})
    content = np.zeros((ITEMS, C), dtype=np.float16)
    with pytest.raises(ConfigError, match="dense_all_action learns no example ages"):
        fit(make_split(), content, towers, RECIPE.model_copy(update={"loss": "dense_all_action"}), seed=0)


@pytest.mark.parametrize("own_ends", [False, True])
@pytest.mark.parametrize("asked_at_history_end", [False, True])
@pytest.mark.parametrize("backward", [0.0, 1.0])
def test_ages_of_batches_and_parts_by_hand(make_sequences, backward, asked_at_history_end, own_ends):
    """Forwards and backwards alike, counted from the newest of all or of each user; before 1970, too."""
    sequences = make_sequences([[1, 2, 3], [7, 8]] * 4, [[-100, -96, -95], [-20, -9]] * 4)
    ages = {1: 5, 2: 1, 3: 0, 7: 11, 8: 0} if own_ends else {1: 91, 2: 87, 3: 86, 7: 11, 8: 0}
    table = ContentTable(content_of(), alone().device)
    recipe = RECIPE.model_copy(update={"pairs_per_step": 8})
    found = ItemToItem(ItemCFParameters(backward=backward))
    asked = {"asked_at_history_end": asked_at_history_end, "own_ends": own_ends}
    task = NextItem(sequences, table, recipe, 4, found, **asked)
    seen = set()
    for batch in itertools.chain.from_iterable(task.batches(np.random.default_rng(n)) for n in range(4)):
        for part in (batch, *(task.part(batch, number, 2) for number in range(2))):
            of = part.items[part.rows, part.positions] if asked_at_history_end else part.targets
            assert part.ages[part.rows, part.positions].tolist() == [ages[item] for item in of.tolist()]
            seen.update(part.targets.tolist())
    assert seen == ({1, 2, 3, 7, 8} if backward else {2, 3, 8})


@pytest.mark.parametrize("at_once", [True, False])
def test_training_asks_when_the_cases_are_asked(monkeypatch, at_once):
    parts = make_split()
    if not at_once:  # as a split by time asks
        parts = replace(parts, validation=replace(parts.validation, ages_us=None))
    asked = []

    def spied(*given, **more):
        asked.append(more["asked_at_history_end"])
        return objective(*given, **more)

    monkeypatch.setattr("learn_features.training.fit.objective", spied)
    recipe = RECIPE.model_copy(update={"epochs": 1, "new_item_share": 0.0})
    content = np.ones((ITEMS, C), dtype=np.float16)
    fit(parts, content, TOWERS.model_copy(update={"example_age": True}), recipe, seed=0)
    assert asked == [at_once, at_once]


def test_where_there_is_only_an_order_ages_are_counted_from_each_users_end(make_sequences, monkeypatch):
    places = [[0, 1, 2, 3, 4], [10, 11, 12, 13]] * 6 + [[50]]
    log = make_sequences([[1, 2, 3, 4, 5], [6, 7, 8, 9]] * 6 + [[10]], places)
    place = np.arange(len(log.items)) - np.repeat(log.offsets[:-1], log.lengths)
    to_end = np.repeat(log.lengths, log.lengths) - place
    cases = make_split().validation.select(np.arange(12))
    cases = replace(cases, ages_us=None, user_ids=log.user_ids[:-1])
    train, both = log.where((to_end > 2) | (log.items == 10)), log.where((to_end > 1) | (log.items == 10))
    parts = Split("leave_one_out", train, cases, both, cases, log, 0)
    found: dict[int, set[float]] = {}

    def spied(*given, **more):
        task = objective(*given, **more)
        for batch in task.batches(np.random.default_rng(0)):
            for target, age in zip(batch.targets, batch.ages[batch.rows, batch.positions], strict=True):
                found.setdefault(int(target), set()).add(float(age))
        return task

    monkeypatch.setattr("learn_features.training.fit.objective", spied)
    recipe = RECIPE.model_copy(
        update={"epochs": 1, "final": "none", "new_item_share": 0.0, "teacher_share": 0.0}
    )
    recipe = recipe.model_copy(update={"backwards": False})
    towers = TOWERS.model_copy(update={"example_age": True})
    fitted = fit(parts, np.ones((ITEMS, C), dtype=np.float16), towers, recipe, seed=0)
    assert found == {2: {1.0}, 3: {0.0}, 7: {0.0}}
    assert fitted.towers.user.example_age.ages[:3].tolist() == [0, 1, 2]
