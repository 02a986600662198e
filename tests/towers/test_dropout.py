"""Dropout against its definition, and torch's own."""

import copy

import pytest
import torch

from learn_features.towers.dropout import Dropout, dropout, random_bits

ONES = torch.ones(1_000, 1_000)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.97])
def test_a_share_is_zero_and_the_mean_stays(share):
    """Of a million entries, within five standard errors; the others are all 1 / (1 - share)."""
    torch.manual_seed(0)
    dropped = dropout(ONES, share, training=True)
    error = (share * (1 - share) / ONES.numel()) ** 0.5
    assert float((dropped == 0).double().mean()) == pytest.approx(share, abs=5 * error)
    kept = dropped[dropped != 0]
    assert kept.min() == kept.max()
    assert float(kept[0]) == pytest.approx(1 / (1 - share), rel=1e-3)


def test_entries_are_dropped_independently():
    """Neighbours in a row, in a column and within one random word agree as often as chance has it."""
    torch.manual_seed(0)
    zero = dropout(ONES, 0.5, training=True) == 0
    for agree in (zero[:, 1:] == zero[:, :-1], zero[1:] == zero[:-1], zero[:, 4:] == zero[:, :-4]):
        assert float(agree.double().mean()) == pytest.approx(0.5, abs=0.003)


def test_gradients_go_where_values_went():
    torch.manual_seed(1)
    x = torch.randn(7, 5, requires_grad=True)
    out = dropout(x, 0.4, training=True)
    out.sum().backward()
    assert torch.allclose(x.grad, torch.where(out == 0, 0.0, 1 / 0.6), rtol=1e-4)


def test_the_seed_decides():
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append(dropout(ONES[:3, :7], 0.5, training=True))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_nothing_is_dropped_when_serving_or_with_a_share_of_zero():
    layer = Dropout(0.5)
    assert copy.deepcopy(layer).eval()(ONES) is ONES
    assert Dropout(0.0)(ONES) is ONES
    assert torch.allclose(layer(ONES.bfloat16()).float().unique(), torch.tensor([0.0, 2.0]))


def test_bits_are_few_for_shares_next_to_one():
    torch.manual_seed(0)
    assert 0 < int((dropout(ONES, 1 - 1e-7, training=True) != 0).sum()) < 100


@pytest.mark.parametrize(("dtype", "steps"), [(torch.int8, 2**8), (torch.int16, 2**16)])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_given_bits_decide_to_one_part_in_as_many_as_they_have(share, dtype, steps):
    """Of every value an equal number of times: the mean of what is kept is exactly that of the input."""
    bits = torch.arange(-steps // 2, steps // 2).to(dtype)
    dropped = dropout(torch.ones(steps, dtype=torch.float64), share, True, bits)
    assert int((dropped == 0).sum()) == round(share * steps)
    assert float(dropped.mean()) == pytest.approx(1.0)


def test_random_bits_are_of_every_value_alike():
    """Chi square over a million bytes, 255 degrees of freedom: 400 is ten standard deviations up."""
    torch.manual_seed(0)
    counts = random_bits((1_000, 1_001), torch.int8, torch.device("cpu")).flatten().int().add(128).bincount()
    expected = 1_001_000 / 256
    assert len(counts) == 256
    assert float(((counts - expected) ** 2 / expected).sum()) < 400
