import numpy as np

from learn_features.training.cuts import cut_batches, cut_places, steps_per_epoch
from learn_features.training.recipe import Recipe


def test_cuts_lie_between_times_only(make_sequences):
    sequences = make_sequences([[1, 2, 3, 4], [5, 6], [7], [8, 9]], [[0, 0, 1, 2], [4, 4], [4], [4, 9]])
    offsets, places = cut_places(sequences)
    np.testing.assert_array_equal(offsets, [0, 2, 2, 2, 3])
    np.testing.assert_array_equal(places, [2, 3, 8])


def test_history_comes_before_targets_and_both_are_sampled(make_sequences):
    lengths = [2, 3, 9, 30, 60, 1]
    sequences = make_sequences([list(range(100 * u, 100 * u + n)) for u, n in enumerate(lengths)])
    recipe = Recipe(
        users_per_step=2, history_length=8, target_length=6, history_positions=3, target_positions=2
    )
    rng = np.random.default_rng(0)
    users = []
    for batch in cut_batches(sequences, recipe, steps=None, rng=rng):
        assert batch.history.shape[1] <= 8
        assert batch.targets.shape[1] <= 6
        assert batch.history_positions.shape[1] <= 3
        assert batch.target_positions.shape[1] <= 2
        for row in range(len(batch.history)):
            history = batch.history[row, batch.history_positions[row][batch.history_real[row]]]
            target = batch.targets[row, batch.target_positions[row][batch.target_real[row]]]
            user = {*(history // 100), *(target // 100)}
            assert len(user) == 1
            assert len(history) >= 1
            assert len(target) >= 1
            assert history.max() < target.min()
            users.extend(user)
    assert sorted(users) == [0, 1, 2, 3, 4]  # the user with one interaction cannot be cut
    assert steps_per_epoch(5, recipe) == 2


def test_cuts_move_from_epoch_to_epoch(make_sequences):
    sequences = make_sequences([list(range(20)), list(range(20, 40))])
    rng = np.random.default_rng(0)
    firsts = {
        int(batch.targets[0, 0])
        for _ in range(20)
        for batch in cut_batches(sequences, Recipe(users_per_step=2), steps=None, rng=rng)
    }
    assert len(firsts) > 10


def test_parts_hold_each_user_once_and_are_of_one_size(make_sequences):
    sequences = make_sequences([list(range(10 * user, 10 * user + 4)) for user in range(7)])
    recipe = Recipe(users_per_step=7)
    (batch,) = cut_batches(sequences, recipe, steps=None, rng=np.random.default_rng(0))
    parts = [batch.part(number, 3) for number in range(3)]
    assert [len(part.history) for part in parts] == [3, 3, 3]
    assert sum(part.pairs for part in parts) == batch.pairs
    held = [row for part in parts for row in part.history[part.history_real.any(1)].tolist()]
    assert held == batch.history.tolist()


def test_gaps_are_those_between_the_entries_that_are_read(make_sequences):
    sequences = make_sequences([[1, 2, 3, 4], [5, 6]], [[0, 60, 90, 100], [7, 9]])
    recipe = Recipe(users_per_step=2, history_length=2)
    seen = set()
    rng = np.random.default_rng(0)
    for _ in range(60):
        for batch in cut_batches(sequences, recipe, steps=None, rng=rng):
            for items, gaps in zip(batch.history.tolist(), batch.history_gaps.tolist(), strict=True):
                real = sum(item > 0 for item in items)
                assert gaps[real:] == [-1] * (len(gaps) - real)
                seen.add((tuple(items[:real]), tuple(gaps[:real])))
    # two of the first three entries, in order, or the only one
    assert seen == {((1, 2), (-1, 60)), ((1, 3), (-1, 90)), ((2, 3), (-1, 30)), ((1,), (-1,)), ((5,), (-1,))}
