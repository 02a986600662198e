import numpy as np
import pytest
import torch

from learn_features.towers.config import TowerConfig, tower_preset
from learn_features.towers.example_age import KNOTS, STEP_SCALE, ExampleAge
from learn_features.towers.model import Towers

DAY = 86_400.0


def config(**changes) -> TowerConfig:
    return tower_preset("small", content_dimension=6, dimension=8, width=8, max_length=5, **changes)


def layer_of(ages) -> ExampleAge:
    layer = ExampleAge(3)
    layer.fit(np.asarray(ages, dtype=np.float64))
    with torch.no_grad():
        layer.steps.copy_(torch.randn(KNOTS, 3, generator=torch.Generator().manual_seed(0)))
    return layer


def walk(layer: ExampleAge) -> np.ndarray:
    """Knots, newest first, step by step from the oldest."""
    steps, knots = layer.steps.detach().double().numpy(), np.zeros((KNOTS, 3))
    here = np.zeros(3)
    for knot in reversed(range(KNOTS)):
        here = here + STEP_SCALE * steps[knot]
        knots[knot] = here
    return knots


def test_ages_are_interpolated_between_quantiles_of_the_logs():
    logs = np.concatenate((np.random.default_rng(0).exponential(20 * DAY, 5_000), [0.0]))
    layer = layer_of(logs)
    quantiles, knots = np.quantile(logs, np.linspace(0, 1, KNOTS)), walk(layer)
    ages = np.concatenate((np.linspace(0, logs.max(), 57), quantiles)).astype(np.float32)
    wanted = np.stack([np.interp(ages, quantiles, knots[:, column]) for column in range(3)], axis=1)
    np.testing.assert_allclose(layer(torch.from_numpy(ages)).detach().numpy(), wanted, atol=1e-3)


@pytest.mark.parametrize(
    "logs",
    [
        [0.0],
        [0.0, 0.0, 5.0],
        [0.0] * 500 + [DAY] * 500,
        [*np.linspace(0, 300 * DAY, 900), *[300 * DAY] * 100],  # taken over from elsewhere, all on one day
        [year * 365 * DAY for year in range(11)] * 90,  # single precision tells 32 seconds apart there
    ],
)
def test_logs_of_few_times_have_an_age_for_every_moment(logs):
    layer = layer_of(logs)
    found = layer(torch.tensor([0.0, 0.5, 5.0, DAY, 1e12, *sorted(set(logs))[-20:]], dtype=torch.float32))
    assert torch.isfinite(found).all()
    assert torch.allclose(found[0], layer(None), atol=1e-5)


def test_the_end_of_the_log_is_what_comes_after_and_what_is_not_said():
    layer = layer_of(np.linspace(0, 100 * DAY, 1_000))
    newest, knots = layer(None).detach(), walk(layer)
    np.testing.assert_allclose(newest.numpy(), knots[0], atol=1e-5)
    assert torch.allclose(layer(torch.tensor([0.0, -5 * DAY])), newest.expand(2, 3), atol=1e-5)
    for far in (101 * DAY, 1e12, float("inf")):
        np.testing.assert_allclose(layer(torch.tensor(far)).detach().numpy(), knots[-1], atol=1e-5)


def test_knots_for_another_log_keep_what_was_learned():
    layer = layer_of(np.linspace(0, 100 * DAY, 5_000))
    ages = torch.linspace(0, 100 * DAY, 400)
    before = layer(ages).detach()
    layer.fit(np.linspace(0, 100 * DAY, 800))
    assert torch.allclose(layer(ages), before, atol=0.02)
    layer.fit(np.linspace(0, 400 * DAY, 800))
    kept = layer(layer.ages[:12]).detach()  # within the 100 days
    layer.fit(np.linspace(0, 400 * DAY, 800))
    assert torch.allclose(layer(layer.ages[:12]), kept, atol=1e-4)
    fresh = ExampleAge(3)
    fresh.fit(np.linspace(0, 9 * DAY, 50))
    assert not fresh.steps.any()


def test_a_users_age_moves_their_own_vector_alone():
    torch.manual_seed(0)
    towers = Towers(config()).eval()
    with torch.no_grad():
        towers.user.example_age.steps.copy_(torch.randn(KNOTS, 8))
        towers.user.example_age.fit(np.linspace(0, 500 * DAY, 1_000))
    content, lengths = torch.randn(3, 5, 6), torch.tensor([5, 2, 3])
    plain = towers.user(content, lengths)
    assert torch.allclose(plain, towers.user(content, lengths, ages=torch.zeros(3)), atol=1e-6)
    moved = towers.user(content, lengths, ages=torch.tensor([0.0, 365 * DAY, 0.0]))
    assert torch.allclose(moved[[0, 2]], plain[[0, 2]], atol=1e-6)
    assert not torch.allclose(moved[1], plain[1], atol=0.1)


def test_towers_without_refuse_ages():
    towers = Towers(config(example_age=False))
    with pytest.raises(ValueError, match="set example_age"):
        towers.user(torch.randn(1, 2, 6), torch.tensor([2]), ages=torch.zeros(1))
