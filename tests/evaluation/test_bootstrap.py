"""Intervals against the normal formula, against SciPy, and on cases that can be worked out."""

import numpy as np
import pytest
from scipy import stats

from learn_features.evaluation import bootstrap
from learn_features.evaluation.bootstrap import Bootstrap


@pytest.fixture
def values() -> np.ndarray:
    return (np.random.default_rng(3).random((2, 900)) < [[0.2], [0.15]]).astype(np.float64)


def test_the_interval_of_a_mean_is_near_the_normal_one(values: np.ndarray) -> None:
    ours = values[0]
    found = Bootstrap(len(ours), resamples=8_000).interval(ours)
    half = 1.96 * ours.std() / len(ours) ** 0.5
    assert found.value == ours.mean()
    assert (found.low, found.high) == pytest.approx((ours.mean() - half, ours.mean() + half), abs=0.06 * half)


def test_paired_difference_as_scipy_finds_it(values: np.ndarray) -> None:
    ours = np.maximum(values[0], values[1])  # ours hits wherever theirs does: a strong pairing
    found = Bootstrap(900, resamples=8_000).difference(ours, values[1])
    peer = stats.bootstrap(
        (ours, values[1]), lambda a, b, axis: a.mean(axis) - b.mean(axis), paired=True, vectorized=True,
        n_resamples=4_000, method="percentile", random_state=1,
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high), abs=0.004)
    unpaired = np.hypot(ours.std(), values[1].std()) * 1.96 / 900**0.5
    assert found.high - found.low < 1.7 * unpaired
    assert found.low > 0


def test_what_is_alike_in_every_case_has_no_width() -> None:
    hits = np.tile([1.0, 0.0], 50)
    found = Bootstrap(100).difference(hits + 0.25, hits)
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    ratio = Bootstrap(100).ratio(2 * hits, hits)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((2, 2, 2))


def test_runs_are_a_second_level() -> None:
    """Two runs that are constant: a resample draws both, one twice, or the other twice."""
    runs = np.stack([np.zeros(40), np.ones(40)])
    found = Bootstrap(40, resamples=4_000).interval(runs)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.0, 1.0))
    narrow = Bootstrap(40, resamples=4_000).interval(runs, level=0.4)  # half of the resamples draw both
    assert (narrow.low, narrow.high) == pytest.approx((0.5, 0.5))
    assert Bootstrap(40).difference(runs, np.zeros(40)).value == 0.5


def test_runs_of_the_same_towers_are_drawn_together() -> None:
    """Runs that are constant, a tenth of each lost: whichever are drawn, nine tenths are left."""
    runs = np.stack([np.full(40, 0.1), np.full(40, 0.4)])
    together = Bootstrap(40).ratio(0.9 * runs, runs, same_runs=True)
    assert (together.value, together.low, together.high) == pytest.approx((0.9, 0.9, 0.9))
    apart = Bootstrap(40).ratio(0.9 * runs, runs)
    assert (apart.value, apart.low, apart.high) == pytest.approx((0.9, 0.225, 3.6))


def test_chunks_change_nothing_and_the_seed_decides(
    values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Bootstrap(900, resamples=200).interval(values)
    assert Bootstrap(900, resamples=200, seed=1).interval(values) != whole
    monkeypatch.setattr(bootstrap, "_CHUNK", 7 * 900)
    again = Bootstrap(900, resamples=200).interval(values)
    assert (again.low, again.high) == pytest.approx((whole.low, whole.high))


def test_many_at_once_are_the_same_as_two_at_a_time(values: np.ndarray) -> None:
    first, second, third = Bootstrap(900, resamples=300).resample([values[0], values[1], 2 * values[0]])
    pair = Bootstrap(900, resamples=300).ratio(values[0], values[1])
    assert first.over(second).interval() == pair
    assert third.resamples == pytest.approx(2 * first.resamples)
    nothing = first.over(first.minus(first))
    assert nothing.value == np.inf


def test_a_ratio_to_nearly_nothing_is_open_above() -> None:
    ours, theirs = np.zeros(60), np.zeros(60)
    ours[:5] = theirs[:2] = 1.0  # one resample in eight has no case of `theirs`
    ratio = Bootstrap(60).ratio(ours, theirs)
    assert 0 < ratio.low < ratio.value == 2.5 < ratio.high == np.inf
    nothing = Bootstrap(60).ratio(np.zeros(60), np.zeros(60))
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()
