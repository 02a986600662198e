import numpy as np
import pytest
import torch

from learn_features.towers.config import TowerConfig, tower_preset
from learn_features.towers.example_age import FINEST_SECONDS, KNOTS, ExampleAge
from learn_features.towers.model import Towers

HOUR, YEAR = 3600.0, 365.25 * 86_400


def config(**changes) -> TowerConfig:
    return tower_preset("small", content_dimension=6, dimension=8, width=8, max_length=5, **changes)


def test_ages_are_interpolated_between_knots_a_half_doubling_apart():
    layer = ExampleAge(3)
    with torch.no_grad():
        layer.knots.copy_(torch.randn(KNOTS, 3))
    ages = np.array([0.0, HOUR, 5 * HOUR, 30 * HOUR, 1e6, 3e7, 20 * YEAR], dtype=np.float32)
    knots_at = FINEST_SECONDS * (2.0 ** (np.arange(KNOTS) / 2) - 1)
    place = np.interp(np.log1p(ages / FINEST_SECONDS), np.log1p(knots_at / FINEST_SECONDS), np.arange(KNOTS))
    table = layer.knots.detach().numpy()
    wanted = np.stack([np.interp(place, np.arange(KNOTS), table[:, column]) for column in range(3)], axis=1)
    np.testing.assert_allclose(layer(torch.from_numpy(ages)).detach().numpy(), wanted, atol=1e-4)


def test_the_end_of_the_log_is_what_comes_after_and_what_is_not_said():
    layer = ExampleAge(3)
    with torch.no_grad():
        layer.knots.copy_(torch.randn(KNOTS, 3))
    newest = layer(None)
    assert torch.equal(newest, layer.knots[0])
    assert torch.equal(layer(torch.tensor([0.0, -5 * HOUR])), newest.expand(2, 3))
    for far in (60 * YEAR, float("inf")):
        assert torch.allclose(layer(torch.tensor(far)), layer.knots[-1], atol=0.01)


def test_a_users_age_moves_their_own_vector_alone():
    torch.manual_seed(0)
    towers = Towers(config()).eval()
    with torch.no_grad():
        towers.user.example_age.knots.copy_(torch.randn(KNOTS, 8))
    content, lengths = torch.randn(3, 5, 6), torch.tensor([5, 2, 3])
    plain = towers.user(content, lengths)
    assert torch.equal(plain, towers.user(content, lengths, ages=torch.zeros(3)))
    moved = towers.user(content, lengths, ages=torch.tensor([0.0, YEAR, 0.0]))
    assert torch.equal(moved[[0, 2]], plain[[0, 2]])
    assert not torch.allclose(moved[1], plain[1], atol=0.1)


def test_an_order_is_no_time_and_towers_without_refuse_ages():
    assert config().example_age
    assert not config(has_times=False).example_age
    towers = Towers(config(has_times=False))
    with pytest.raises(ValueError, match="set example_age"):
        towers.user(torch.randn(1, 2, 6), torch.tensor([2]), ages=torch.zeros(1))
