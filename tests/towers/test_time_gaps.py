import numpy as np
import pytest
import torch

from learn_features.data.time_gaps import time_gaps
from learn_features.towers.time_gaps import EDGES, TimeGaps

DAY = 86_400.0


def test_gaps_by_hand():
    times = np.array([5_000_000, 5_000_000, 7_500_000, 1_000_000, 90_000_000_000], dtype=np.int64)
    gaps = time_gaps(times, np.array([0, 3, 5]))  # the last history is empty
    assert gaps.dtype == np.float32
    assert gaps.tolist() == [-1, 0, 2.5, -1, 89_999]
    assert time_gaps(times[:0], np.array([0])).tolist() == []


@pytest.mark.parametrize(
    ("gap", "bucket"),
    [
        (-1, 0),
        (0, 1),
        (0.999, 1),
        (1, 2),
        (1.999, 2),
        (2, 3),
        (3.999, 3),
        (4, 4),
        (2.0**20, 22),
        (1e30, EDGES),
    ],
)
def test_a_bucket_a_doubling(gap, bucket):
    assert TimeGaps(4).bucket(torch.tensor([[gap]])).tolist() == [[bucket]]


def test_buckets_are_those_of_the_logarithm():
    gaps = np.exp(np.random.default_rng(0).uniform(0, 20, 2_000)).astype(np.float32)
    expected = np.floor(np.log2(gaps.astype(np.float64))).astype(int) + 2
    assert TimeGaps(4).bucket(torch.from_numpy(gaps)).tolist() == expected.tolist()


@pytest.mark.parametrize("variant", ["sequence", "single", "content", "projection"])
def test_time_changes_what_follows_and_nothing_before(make_towers, variant):
    towers = make_towers(variant, time_gaps=True)
    content = torch.randn(2, 5, 12)
    gaps = torch.tensor([[-1.0, 3, DAY, 60, 5]]).expand(2, -1)
    later = gaps.clone()
    later[:, 3] = 30 * DAY
    before = towers.user.positions(content, gaps=gaps)
    after = towers.user.positions(content, gaps=later)
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert (before[:, 3:] - after[:, 3:]).abs().amax(-1).min() > 1e-4
    lengths = torch.tensor([5, 2])
    torch.testing.assert_close(
        towers.user(content, lengths, None, gaps), before[torch.arange(2), lengths - 1]
    )


def test_gaps_are_given_if_and_only_if_they_are_read(make_towers):
    content = torch.randn(1, 2, 12)
    with pytest.raises(ValueError, match="read time gaps, and none were given"):
        make_towers(time_gaps=True).user.positions(content)
    with pytest.raises(ValueError, match="towers that read none"):
        make_towers().user.positions(content, gaps=torch.zeros(1, 2))
