import numpy as np
import pytest

from learn_features.training.windows import moments_shuffled, pairs, window_batches


def all_batches(sequences, **changes):
    settings = {"max_length": 50, "pairs_per_step": 4, "steps": None, "rng": np.random.default_rng(0)}
    return list(window_batches(sequences, pairs(sequences), **{**settings, **changes}))


def seen(batches):
    """(window up to the position, target) of each pair, sorted."""
    return sorted(
        (tuple(batch.items[row, : position + 1].tolist()), int(target))
        for batch in batches
        for row, position, target in zip(batch.rows, batch.positions, batch.targets, strict=True)
    )


def test_every_item_is_predicted_from_those_before_it(make_sequences):
    batches = all_batches(make_sequences([[1, 2, 3], [7], [4, 5]]))
    assert seen(batches) == [((1,), 2), ((1, 2), 3), ((4,), 5)]


def test_a_basket_does_not_predict_itself(make_sequences):
    sequences = make_sequences([[1, 2, 3, 4, 5], [8, 9]], [[0, 0, 5, 5, 6], [3, 3]])
    assert seen(all_batches(sequences)) == [((1, 2), 3), ((1, 2), 4), ((1, 2, 3, 4), 5)]


def test_within_moments_every_entry_is_predicted_from_those_before_it_as_well(make_sequences):
    sequences = make_sequences([[1, 2, 3, 4, 5], [8, 9], [7]], [[0, 0, 5, 5, 6], [3, 3], [3]])
    both = pairs(sequences, within_moments=True)
    batches = list(
        window_batches(
            sequences, both, max_length=50, pairs_per_step=4, steps=None, rng=np.random.default_rng(0)
        )
    )
    strictly = [((1, 2), 3), ((1, 2), 4), ((1, 2, 3, 4), 5)]
    assert seen(batches) == sorted([*strictly, ((1,), 2), ((1, 2, 3), 4), ((8,), 9)])


def test_moments_are_shuffled_each_within_itself(make_sequences):
    sequences = make_sequences([[1, 2, 3, 4, 5], [6, 7]], [[0, 0, 5, 5, 6], [6, 6]])
    rng = np.random.default_rng(0)
    orders = {tuple(moments_shuffled(sequences, rng).items.tolist()) for _ in range(200)}
    assert orders == {
        (*first, *second, 5, *third)
        for first in ((1, 2), (2, 1))
        for second in ((3, 4), (4, 3))
        for third in ((6, 7), (7, 6))
    }


def test_without_ties_nothing_is_drawn(make_sequences):
    sequences = make_sequences([[1, 2, 3], [3, 4]], [[0, 7, 8], [8, 9]])
    rng = np.random.default_rng(0)
    assert moments_shuffled(sequences, rng) is sequences
    assert rng.random() == np.random.default_rng(0).random()


def test_equal_times_of_neighbouring_users_are_no_tie(make_sequences):
    sequences = make_sequences([[1, 2], [3, 4]], [[0, 7], [7, 8]])
    assert seen(all_batches(sequences)) == [((1,), 2), ((3,), 4)]


@pytest.mark.parametrize("seed", range(3))
def test_long_histories_are_cut_into_windows_and_lose_no_target(make_sequences, seed):
    sequences = make_sequences([list(range(100, 137)), list(range(5)), list(range(50, 61))])
    batches = all_batches(sequences, max_length=8, rng=np.random.default_rng(seed))
    assert all(batch.items.shape[1] <= 8 for batch in batches)
    pairs_seen = seen(batches)
    assert sorted(target for _, target in pairs_seen) == [*range(1, 5), *range(51, 61), *range(101, 137)]
    for window, target in pairs_seen:
        assert list(window) == list(range(target - len(window), target))  # contiguous, ends before it


def test_epochs_differ_and_seeds_repeat(make_sequences):
    sequences = make_sequences([[i, i + 1, i + 2] for i in range(0, 300, 3)])
    rng = np.random.default_rng(1)
    first, second = all_batches(sequences, rng=rng), all_batches(sequences, rng=rng)
    again = all_batches(sequences, rng=np.random.default_rng(1))
    assert seen(first) == seen(second)
    assert [b.items.tolist() for b in first] == [b.items.tolist() for b in again]
    assert [b.items.tolist() for b in first] != [b.items.tolist() for b in second]


def test_batches_hold_like_lengths_and_about_the_pairs_asked_for(make_sequences):
    rng = np.random.default_rng(0)
    sequences = make_sequences([list(range(n)) for n in rng.geometric(0.15, size=3000) + 1])
    batches = all_batches(sequences, pairs_per_step=500)
    sizes = [len(batch.targets) for batch in batches]
    assert 400 < np.mean(sizes) < 600
    padded = sum(batch.items.size for batch in batches)
    real = sum(int(batch.lengths.sum()) for batch in batches)
    assert padded / real < 1.1
    assert len(all_batches(sequences, pairs_per_step=500, steps=3)) == 3
