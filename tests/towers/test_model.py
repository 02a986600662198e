import pytest
import torch
from torch.nn import functional as F

from learn_features.towers.blocks import Norm
from learn_features.towers.user_tower import RecencySum

VARIANTS = ("sequence", "single", "content", "projection")
SETTINGS = [{"recency_sum": False}, {"recency_sum": True}, {"positions": "learned"}]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_later_items_do_not_change_earlier_vectors(make_towers, variant, settings):
    towers = make_towers(variant, **settings)
    content = torch.randn(3, 7, 12)
    changed = content.clone()
    changed[:, 4:] = torch.randn(3, 3, 12)
    before, after = towers.user.positions(content), towers.user.positions(changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().amax(-1).min() > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_padding_and_neighbours_do_not_matter(make_towers, variant, settings):
    towers = make_towers(variant, **settings)
    histories = [torch.randn(length, 12) for length in (1, 3, 6)]
    padded = torch.zeros(3, 9, 12)
    for row, history in enumerate(histories):
        padded[row, : len(history)] = history
    together = towers.user(padded, torch.tensor([1, 3, 6]))
    alone = [towers.user(history[None], torch.tensor([len(history)])) for history in histories]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("variant", VARIANTS)
def test_vectors_are_of_unit_length(make_towers, variant):
    towers = make_towers(variant)
    users = towers.user(torch.randn(5, 4, 12), torch.tensor([1, 2, 3, 4, 4]))
    items = towers.item(torch.randn(5, 12))
    assert users.shape == items.shape == (5, towers.config.dimension)
    for vectors in (users, items):
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(5))


def test_item_vectors_given_are_those_computed(make_towers):
    towers = make_towers("projection")
    content = torch.randn(2, 5, 12)
    given = towers.item(content)
    torch.testing.assert_close(
        towers.user.positions(content), towers.user.positions(content, item_vectors=given)
    )


def test_only_variant_a_reads_targets_in_their_sequence(make_towers):
    content = torch.randn(2, 5, 12)
    for variant in VARIANTS:
        towers = make_towers(variant)
        alone = towers.item(content.flatten(0, 1)).view(2, 5, -1)
        difference = (towers.item.targets(content) - alone).abs().amax(-1)
        assert difference[:, 0].max() < 1e-5, variant
        assert (difference[:, 1:].min() > 1e-3) == (variant == "sequence"), variant


def test_an_item_by_itself_needs_no_attention(make_towers, monkeypatch):
    """CUDA's kernels take 65,535 rows at most, and a catalogue has more; what comes out is the same."""
    towers = make_towers("single")
    content = torch.randn(9, 12)
    expected = F.normalize(towers.item.alignment(towers.item.input(content)[:, None])[:, 0], dim=-1)

    def none(*arguments, **more):
        raise AssertionError("attention among one item")

    monkeypatch.setattr(F, "scaled_dot_product_attention", none)
    torch.testing.assert_close(towers.item(content), expected)


def test_shared_weights_are_one_set(make_towers):
    shared = make_towers("single", recency_sum=False)
    apart = make_towers("single", recency_sum=False, shared_weights=False)
    content = torch.randn(4, 12)
    as_user = shared.user(content[:, None], torch.ones(4, dtype=torch.int64))
    torch.testing.assert_close(shared.item(content), as_user)
    of_pal = sum(p.numel() for p in shared.user.alignment.parameters())
    total = [sum(p.numel() for p in towers.parameters()) for towers in (shared, apart)]
    assert total[1] - total[0] == of_pal


@pytest.mark.parametrize("variant", ["sequence", "single"])
def test_separate_weights_learn_apart(make_towers, variant):
    content = torch.randn(2, 4, 12)
    for shared in (True, False):
        towers = make_towers(variant, recency_sum=False, shared_weights=shared)
        towers.item.targets(content).sum().backward()
        touched = any(p.grad is not None for p in towers.user.alignment.parameters())
        assert touched == shared, "the user tower learns from items only through weights they share"
        assert all(p.grad is not None for name, p in towers.item.named_parameters() if "projection" in name)


def test_a_learnable_temperature_moves_and_is_bounded(make_towers):
    fixed, learned = make_towers(), make_towers(learnable_temperature=True)
    assert learned.scale.item() == pytest.approx(1 / 0.07)
    assert not fixed.log_scale.requires_grad
    optimiser = torch.optim.SGD([learned.log_scale], lr=0.1)
    (-learned.scale).backward()  # sharper is better here
    optimiser.step()
    assert learned.scale.item() > 1 / 0.07
    with torch.no_grad():
        learned.log_scale.fill_(9.0)
    learned.limit_scale()
    assert learned.scale.item() == pytest.approx(100)
    optimiser.zero_grad()
    learned.scale.backward()  # and back, where blunter is better
    optimiser.step()
    assert learned.scale.item() < 99
    content, lengths = torch.randn(2, 3, 12), torch.tensor([3, 2])
    torch.testing.assert_close(fixed.user(content, lengths), learned.user(content, lengths))


def test_content_variant_is_the_content_itself(make_towers):
    content = torch.randn(4, 12)
    torch.testing.assert_close(make_towers("content").item(content), F.normalize(content, dim=-1))


def test_recency_sum_by_hand():
    recency = RecencySum(2)
    with torch.no_grad():
        recency.log_weights.copy_(torch.log(torch.tensor([3.0, 1.0])))
    values = torch.tensor([[[8.0], [4.0], [20.0]]])
    # ages: newest weighs 3, older ones 1 each (age 2 is clamped to age 1)
    expected = torch.tensor([[[8.0], [(3 * 4 + 8) / 4], [(3 * 20 + 4 + 8) / 5]]])
    torch.testing.assert_close(recency(values), expected)


def test_input_is_centred_and_scaled_by_the_catalogue(make_towers):
    towers = make_towers()
    catalogue = torch.randn(400, 12) * torch.linspace(1, 5, 12) + 7
    towers.fit_input(catalogue)
    scaled = towers.user.input(catalogue)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(12), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.pow(2).mean(), torch.tensor(1.0))


@pytest.mark.parametrize("variant", ["sequence", "projection"])
def test_towers_export_with_dynamic_batch_and_length(make_towers, variant):
    towers = make_towers(variant, positions="learned")
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    user = torch.export.export(
        towers.user,
        (torch.randn(3, 4, 12), torch.tensor([1, 2, 4])),
        dynamic_shapes=({0: batch, 1: length}, {0: batch}),
    ).module()
    for rows, longest in ((5, 9), (2, 3), (1, 6)):
        content = torch.randn(rows, longest, 12)
        lengths = torch.randint(1, longest + 1, (rows,))
        torch.testing.assert_close(user(content, lengths), towers.user(content, lengths))
    item = torch.export.export(towers.item, (torch.randn(3, 12),), dynamic_shapes=({0: batch},)).module()
    content = torch.randn(7, 12)
    torch.testing.assert_close(item(content), towers.item(content))


def test_a_norm_under_autocast_stays_in_bf16_and_near_float32():
    norm = Norm(32)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    x = (5 + 3 * torch.randn(4, 7, 32)).bfloat16()
    expected = torch.nn.functional.layer_norm(x.float(), (32,), norm.weight, norm.bias)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = norm(x)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), expected, rtol=0.02, atol=0.02)
    torch.testing.assert_close(norm(x.float()), expected)
    low.sum().backward()
    assert norm.weight.grad.dtype == torch.float32
