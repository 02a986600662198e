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
    assert steps_per_epoch(sequences, recipe) == 2


def test_cuts_move_from_epoch_to_epoch(make_sequences):
    sequences = make_sequences([list(range(20)), list(range(20, 40))])
    rng = np.random.default_rng(0)
    firsts = {
        int(batch.targets[0, 0])
        for _ in range(20)
        for batch in cut_batches(sequences, Recipe(users_per_step=2), steps=None, rng=rng)
    }
    assert len(firsts) > 10
