import numpy as np
import torch

from learn_features.training.length_groups import LEAST, length_groups

CPU = torch.device("cpu")


def test_every_row_is_in_one_group_and_each_further_one_saves_enough():
    rng = np.random.default_rng(0)
    for _ in range(50):
        lengths = rng.geometric(0.1, size=rng.integers(1, 300)) - 1
        groups = list(length_groups(lengths, CPU))
        assert sorted(np.concatenate([rows for rows, _ in groups])) == list(range(len(lengths)))
        for rows, longest in groups:
            assert longest == max(1, lengths[rows].max())
        entries = sum(len(rows) * longest for rows, longest in groups)
        assert entries <= len(lengths) * groups[-1][1] - (LEAST["cpu"] + 1) * (len(groups) - 1)


def test_most_of_a_long_tailed_batch_is_no_padding():
    lengths = np.concatenate([np.full(64, 1), np.full(64, 3), np.full(64, 4), np.full(10, 7), [80]])
    groups = [(len(rows), longest) for rows, longest in length_groups(lengths, CPU)]
    assert groups == [(64, 1), (128, 4), (10, 7), (1, 80)]
    assert sum(rows * longest for rows, longest in groups) < 1.2 * lengths.sum()
