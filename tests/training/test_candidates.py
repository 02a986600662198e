import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from learn_features.training import candidates
from learn_features.training.candidates import Catalogue
from learn_features.training.losses import full_softmax

TRAINED, N_ITEMS = np.arange(3, 503), 2_000
NONE = TRAINED[:0]
TAKEN, OTHERS = np.arange(0, 30, 2), np.arange(31, 45)


def catalogue(size):
    return Catalogue(TRAINED, NONE, N_ITEMS, size=size, untaken_weight=0.1)


def everything():
    return catalogue(len(TRAINED)).draw(NONE, np.random.default_rng(0))


def loss_over(chosen, users, table, positives):
    return full_softmax(
        users,
        table[chosen.items],
        torch.from_numpy(chosen.rows[positives]),
        torch.tensor(3.0),
        log_weights=None if chosen.log_weights is None else torch.from_numpy(chosen.log_weights),
    )


@pytest.fixture
def world():
    generator = torch.Generator().manual_seed(0)
    table = F.normalize(torch.randn(N_ITEMS, 4, generator=generator), dim=-1)
    return F.normalize(torch.randn(40, 4, generator=generator), dim=-1), table, np.arange(10, 50)


def test_everything_is_what_was_trained():
    chosen = everything()
    np.testing.assert_array_equal(chosen.items, TRAINED)
    assert chosen.log_weights is None
    assert chosen.rows[[2, 3, 502, 503]].tolist() == [-1, 0, 499, -1]
    np.testing.assert_array_equal(chosen.drawn, chosen.rows)


def test_a_sample_estimates_the_loss_over_everything(world):
    users, table, positives = world
    full = float(loss_over(everything(), users, table, positives))
    rng = np.random.default_rng(0)
    samples = [catalogue(100).draw(positives, rng) for _ in range(50)]
    estimates = [float(loss_over(chosen, users, table, positives)) for chosen in samples]
    assert np.mean(estimates) == pytest.approx(full, abs=0.03)
    assert np.std(estimates) > 1e-3


def test_what_is_needed_beside_the_sample_is_nobodys_negative(world):
    users, table, positives = world
    few, many = (
        catalogue(100).draw(needed, np.random.default_rng(1))
        for needed in (positives[:5], np.concatenate((positives, [0, 7, 1_999])))
    )
    assert len(many.items) > len(few.items) > 100
    torch.testing.assert_close(
        loss_over(few, users[:5], table, positives[:5]), loss_over(many, users[:5], table, positives[:5])
    )
    for chosen in (few, many):
        drawn = np.flatnonzero(chosen.drawn >= 0)
        assert len(drawn) == 100
        assert set(drawn) <= set(TRAINED)
        np.testing.assert_array_equal(chosen.items[chosen.drawn[drawn]], drawn)
        weights = chosen.log_weights[chosen.drawn[drawn]]
        np.testing.assert_allclose(weights, np.log(500 / 100), rtol=1e-6)
        assert np.isfinite(chosen.log_weights).sum() == 100
        np.testing.assert_array_equal(chosen.items[chosen.rows[chosen.items]], chosen.items)


@pytest.mark.parametrize(("size", "most"), [(100, 100), (6, 100), (100, 4), (6, 4)])
def test_drawn_items_stand_for_all(monkeypatch, size, most):
    monkeypatch.setattr(candidates, "UNTAKEN_ITEMS", most)
    some = Catalogue(TAKEN, OTHERS, 50, size=size, untaken_weight=0.1)
    needed, rng, total = np.array([TAKEN[3], TAKEN[0], TAKEN[3]]), np.random.default_rng(0), np.zeros(50)
    for _ in range(3_000):
        chosen = some.draw(needed, rng)
        assert (np.diff(chosen.items) > 0).all()
        np.testing.assert_array_equal(chosen.rows[chosen.items], np.arange(len(chosen.items)))
        assert (chosen.rows[needed] >= 0).all()
        negative = chosen.log_weights > -math.inf
        np.testing.assert_array_equal(chosen.items[negative], np.flatnonzero(chosen.drawn >= 0))
        assert np.count_nonzero(negative) == min(size, len(TAKEN)) + min(most, len(OTHERS))
        total[chosen.items] += np.exp(chosen.log_weights)
    expected = np.zeros(50)
    expected[TAKEN], expected[OTHERS] = 1, 0.1
    np.testing.assert_allclose(total / 3_000, expected, rtol=0.15)


def test_nothing_is_drawn_where_all_fit_and_untaken_ones_count_nothing():
    chosen = Catalogue(TAKEN, OTHERS, 50, size=100, untaken_weight=0.0).draw(
        TAKEN[:2], np.random.default_rng(0)
    )
    np.testing.assert_array_equal(chosen.items, TAKEN)
    assert chosen.log_weights is None
