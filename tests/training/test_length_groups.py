import numpy as np
import torch

from learn_features.training.length_groups import LEAST, length_groups

CPU = torch.device("cpu")


def test_every_row_is_in_one_group_that_is_long_enough():
    rng = np.random.default_rng(0)
    for _ in range(50):
        lengths = rng.geometric(0.1, size=rng.integers(1, 300)) - 1
        groups = list(length_groups(lengths, CPU))
        assert sorted(np.concatenate([rows for rows, _ in groups])) == list(range(len(lengths)))
        for rows, longest in groups:
            assert longest == max(1, lengths[rows].max())
        small = [rows for rows, longest in groups[:-1] if len(rows) * longest < LEAST["cpu"]]
        assert not small


def test_most_of_a_long_tailed_batch_is_no_padding():
    lengths = np.concatenate([np.full(64, 1), np.full(64, 3), np.full(64, 4), np.full(10, 7), [80]])
    groups = [(len(rows), longest) for rows, longest in length_groups(lengths, CPU)]
    assert groups == [(64, 1), (128, 4), (10, 7), (1, 80)]
    assert sum(rows * longest for rows, longest in groups) < 1.2 * lengths.sum()
