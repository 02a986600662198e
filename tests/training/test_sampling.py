import math

import numpy as np
import pytest

from learn_features.training.sampling import draw
from learn_features.training.sampling import recency_weights as unnormalised

PAPER = (10.0, 10_000.0)
"""α and β."""


def recency_weights(length, alpha=10.0, beta=10_000.0):
    """Probabilities (length,) of the positions of one sequence, oldest first."""
    weights = unnormalised(np.array(length), np.arange(length), alpha, beta)
    return weights / weights.sum()


def test_weights_by_hand():
    # i (β − α) / (N − 1) + α for N = 4, α = 10, β = 10000: 10, 3340, 6670, 10000
    raw = [math.log(10), math.log(3340), math.log(6670), math.log(10_000)]
    np.testing.assert_allclose(recency_weights(4), np.array(raw) / sum(raw), rtol=1e-12)


def test_ends_are_log_alpha_and_log_beta():
    weights = recency_weights(80, alpha=10, beta=10_000)
    assert weights[-1] / weights[0] == pytest.approx(math.log(10_000) / math.log(10))
    assert (np.diff(weights) > 0).all()
    assert weights.sum() == pytest.approx(1)


def test_one_entry_has_all_the_weight():
    np.testing.assert_array_equal(recency_weights(1), [1.0])
    assert recency_weights(2)[0] == pytest.approx(math.log(10) / (math.log(10) + math.log(10_000)))


@pytest.mark.parametrize("kind", ["random", "recency"])
def test_draws_are_distinct_places_in_rising_order(kind):
    lengths = np.array([1, 3, 5, 40, 12])
    places, real = draw(lengths, 5, kind, np.random.default_rng(0), *PAPER)
    assert places.shape == real.shape == (5, 5)
    np.testing.assert_array_equal(real.sum(1), [1, 3, 5, 5, 5])
    for row, length in enumerate(lengths):
        chosen = places[row][real[row]]
        assert real[row, : len(chosen)].all()
        assert (np.diff(chosen) > 0).all()
        assert 0 <= chosen.min() <= chosen.max() < length
    np.testing.assert_array_equal(places[1][real[1]], [0, 1, 2])


def test_short_sequences_are_taken_whole():
    places, real = draw(np.array([2, 3]), 10, "recency", np.random.default_rng(0), *PAPER)
    np.testing.assert_array_equal(places, [[0, 1, 0], [0, 1, 2]])
    np.testing.assert_array_equal(real, [[True, True, False], [True, True, True]])


def test_frequencies_are_the_weights():
    """One place drawn of four, 40 000 times: shares within 4 standard errors of the weights."""
    rng = np.random.default_rng(0)
    count = 40_000
    for kind, expected in (("recency", recency_weights(4)), ("random", np.full(4, 0.25))):
        places, _ = draw(np.full(count, 4), 1, kind, rng, *PAPER)
        shares = np.bincount(places[:, 0], minlength=4) / count
        assert (np.abs(shares - expected) < 4 * np.sqrt(expected * (1 - expected) / count)).all(), kind
