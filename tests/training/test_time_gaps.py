"""Time gaps reach the objective: a world in which only they tell what comes next."""

from itertools import pairwise

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.training.fit import fit
from learn_features.training.windows import pairs, window_batches
from tests.training.world import LENGTH, RECIPE, TOWERS, USERS, C

ITEMS = 40
SHORT_US, LONG_US = 10_000_000, 864_000_000_000


def make_split() -> Split:
    """After an entry that came soon an even item follows; after one that came late, an odd one."""
    rng = np.random.default_rng(0)
    late = rng.random((USERS, LENGTH)) < 0.5
    items = rng.integers(0, ITEMS // 2, (USERS, LENGTH)) * 2 + np.roll(late, 1, axis=1)
    times = np.cumsum(np.where(late, LONG_US, SHORT_US), axis=1)

    def sequences(until: int) -> Sequences:
        offsets = np.arange(0, USERS * until + 1, until)
        flat = items[:, :until].ravel().astype(np.int32), times[:, :until].ravel()
        return Sequences([str(u) for u in range(USERS)], offsets, *flat)

    def cases(until: int) -> Cases:
        known = sequences(until)
        targets = np.arange(USERS + 1), items[:, until].astype(np.int32), times[:, until]
        return Cases(known.user_ids, known.offsets, known.items, known.times_us, *targets)

    return Split(
        "global_time", sequences(LENGTH - 2), cases(LENGTH - 2), sequences(LENGTH - 1), cases(LENGTH - 1),
        sequences(LENGTH), int(times.max()),
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "softmax"},
        {"loss": "softmax", "max_candidates": 30},
    ],
)
def test_what_only_the_gap_tells_is_learned(changes):
    plain = {"backwards": False, "teacher_share": 0.0, "ema": 0.0}
    recipe = RECIPE.model_copy(
        update={"epochs": 10, "pairs_per_step": 60, "patience": 10, **plain, **changes}
    )
    kinds, noise = np.random.default_rng(1).normal(size=(2, C)), np.random.default_rng(2)
    content = (kinds[np.arange(ITEMS) % 2] + noise.normal(size=(ITEMS, C))).astype(np.float16)
    recalls = {}
    for time_gaps in (True, False):
        towers = TOWERS.model_copy(update={"time_gaps": time_gaps, "recency_sum": False, "dropout": 0.0})
        fitted = [fit(make_split(), content, towers, recipe, seed=seed) for seed in (0, 1)]
        recalls[time_gaps] = np.mean([one.best.validation["recall_at_10"] for one in fitted])
    # 10 of 20 hit by chance where the kind is known, 10 of 40 where it is not
    assert recalls[True] > 0.4, recalls
    assert recalls[False] < 0.35, recalls


def test_gaps_of_windows_by_hand(make_sequences):
    sequences = make_sequences(
        [[1, 2, 3], [7, 8], list(range(20, 26))], [[0, 4, 5], [90, 91], [0, 1, 3, 7, 15, 31]]
    )
    settings = {"max_length": 4, "pairs_per_step": 100, "steps": None, "rng": np.random.default_rng(0)}
    [batch] = window_batches(sequences, pairs(sequences), **settings)
    found = {
        tuple(items[:length].tolist()): gaps[:length].tolist()
        for items, gaps, length in zip(batch.items, batch.gaps, batch.lengths, strict=True)
    }
    assert found[1, 2] == [-1, 4]
    assert found[7,] == [-1]
    ages = {item: 2 ** (item - 20) - 1 for item in range(20, 26)}
    windows = [window for window in found if window[0] >= 20]
    assert sorted(item for window in windows for item in window) == [20, 21, 22, 23, 24]
    for window in windows:  # cut at random: whatever comes first has nothing before it
        assert found[window] == [-1, *(ages[b] - ages[a] for a, b in pairwise(window))]
    assert (batch.gaps[batch.items == 0] == 0).all()
