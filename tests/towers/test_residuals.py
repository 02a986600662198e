"""What is known of single items: table, file, look-up, and its place in the towers."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

from learn_features.errors import BundleError, DataError
from learn_features.towers.residuals import ItemResiduals, Lift

VARIANTS = ("sequence", "single", "projection")
IDS = ["b", "zoë", "a", "10", "9", ""]


@pytest.fixture
def residuals() -> ItemResiduals:
    return ItemResiduals.of(IDS, np.arange(12, dtype=np.float32).reshape(6, 2))


def test_each_item_finds_its_row_and_a_new_one_zeros(residuals):
    assert len(residuals) == 6
    assert residuals.dimension == 2
    found = residuals.lookup(["9", "new", "b", "9", ""])
    assert found.dtype == np.float32
    assert found.tolist() == [[8, 9], [0, 0], [0, 1], [8, 9], [10, 11]]
    assert residuals.lookup([]).shape == (0, 2)
    found += 1  # the caller's own
    assert residuals.lookup(["b"]).tolist() == [[0, 1]]


def test_look_up_against_a_dict(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"item-{number}" for number in rng.permutation(5_000)]
    table = rng.normal(size=(5_000, 3)).astype(np.float32)
    ItemResiduals.of(ids, table).save(tmp_path / "r.safetensors")
    mapped = ItemResiduals.load(tmp_path / "r.safetensors", 3)
    rows = dict(zip(ids, table, strict=True))
    asked = [f"item-{number}" for number in rng.integers(0, 10_000, 2_000)]
    expected = [rows.get(one, np.zeros(3, np.float32)) for one in asked]
    np.testing.assert_array_equal(mapped.lookup(asked), expected)


def test_the_file_is_plain_safetensors_and_mapped(residuals, tmp_path):
    file = tmp_path / "item_residuals.safetensors"
    residuals.save(file)
    tensors = load_file(file)
    assert {name: (t.dtype.name, t.shape) for name, t in tensors.items()} == {
        "keys": ("uint64", (2, 6)),
        "residuals": ("float32", (6, 2)),
    }
    loaded = ItemResiduals.load(file)
    np.testing.assert_array_equal(loaded.lookup(IDS), residuals.lookup(IDS))
    assert isinstance(loaded._table.base.base, np.memmap) or isinstance(loaded._table, np.memmap)
    assert [f.name for f in tmp_path.iterdir()] == [file.name]


def test_what_of_a_residual_is_a_lift_is_kept_beside_it(tmp_path):
    """The file holds rows as they are served; a training goes on from what was learnt."""
    table = np.arange(12, dtype=np.float32).reshape(6, 2)
    lift = Lift(np.array([1, 0, 2, 0, 0.5, 0], np.float32), np.array([0.6, 0.8], np.float32))
    ItemResiduals.of(IDS, table, lift).save(tmp_path / "r")
    loaded = ItemResiduals.load(tmp_path / "r", 2)
    assert loaded.lookup(["a", "new"]).tolist() == [[4, 5], [0, 0]]
    expected = table - np.outer([1, 0, 2, 0, 0.5, 0], [0.6, 0.8])
    np.testing.assert_allclose(loaded.unlifted([*IDS, "new"]), [*expected, [0, 0]], rtol=1e-6)
    plain = ItemResiduals.of(IDS, table)
    np.testing.assert_array_equal(plain.unlifted(IDS), table)
    tensors = load_file(tmp_path / "r")
    for broken in (
        {"heights": tensors["heights"][:-1]},
        {"direction": np.zeros(3, np.float32)},
        {"heights": tensors["residuals"]},
    ):
        save_file({**tensors, **broken}, tmp_path / "broken")
        with pytest.raises(BundleError, match="is no table of item residuals"):
            ItemResiduals.load(tmp_path / "broken")
    del tensors["direction"]
    save_file(tensors, tmp_path / "broken")
    with pytest.raises(BundleError, match="is no table of item residuals"):
        ItemResiduals.load(tmp_path / "broken")


def test_nobody_has_a_residual(tmp_path):
    ItemResiduals.of([], np.zeros((0, 4), np.float32)).save(tmp_path / "r")
    assert ItemResiduals.load(tmp_path / "r", 4).lookup(["a"]).tolist() == [[0] * 4]


def test_tables_that_cannot_be_are_refused():
    with pytest.raises(DataError, match="1 items are named more than once, first a"):
        ItemResiduals.of(["a", "b", "a"], np.zeros((3, 2), np.float32))
    with pytest.raises(DataError, match="1 of 2 are not finite, first of items b"):
        ItemResiduals.of(["a", "b"], np.array([[0, 0], [0, np.nan]], np.float32))
    with pytest.raises(DataError, match="2 items and a table of shape"):
        ItemResiduals.of(["a", "b"], np.zeros((3, 2), np.float32))


def test_files_that_are_something_else_are_refused(residuals, tmp_path):
    file = tmp_path / "r"
    residuals.save(file)
    with pytest.raises(BundleError, match="residuals have width 2, the towers 64"):
        ItemResiduals.load(file, 64)
    raw, tensors = file.read_bytes(), load_file(file)
    for problem, content in (
        ("not a safetensors file", raw[:5]),
        ("not a safetensors file", b""),
        ("lies outside the file", raw[:-1]),
    ):
        file.write_bytes(content)
        with pytest.raises(BundleError, match=problem):
            ItemResiduals.load(file)
    for problem, changes in (
        ("is no table of item residuals", {"more": np.zeros(1, np.float32)}),
        ("is no table of item residuals", {"residuals": np.array(1, np.float32)}),
        ("is no table of item residuals", {"keys": tensors["keys"][:, :-1]}),
        ("is not what its header says", {"residuals": tensors["residuals"].astype(np.float64)}),
        ("keys are not in order", {"keys": tensors["keys"][:, ::-1].copy()}),
    ):
        save_file({**tensors, **changes}, file)
        with pytest.raises(BundleError, match=problem):
            ItemResiduals.load(file)
    file.unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        ItemResiduals.load(file)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_residual_is_added_before_the_vector_is_normalised(make_towers, variant):
    towers = make_towers(variant, residuals=True, recency_sum=False)
    content, residual = torch.randn(5, 12), torch.randn(5, 8)
    residual[2:] = 0
    projected = (
        towers.item.projection(towers.item.input(content))
        if variant == "projection"
        else towers.item.alignment(towers.item.input(content)[:, None])[:, 0]
    )
    torch.testing.assert_close(towers.item(content, residual), F.normalize(projected + residual, dim=-1))
    torch.testing.assert_close(towers.item(content, residual)[2:], towers.item(content)[2:])
    assert torch.equal(towers.item(content, torch.zeros(5, 8)), towers.item(content))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("recency_sum", [True, False])
def test_users_read_the_residuals_of_their_histories(make_towers, variant, recency_sum):
    towers = make_towers(variant, residuals=True, recency_sum=recency_sum)
    content, residuals = torch.randn(3, 6, 12), torch.randn(3, 6, 8)
    plain, with_zeros = towers.user.positions(content), torch.zeros(3, 6, 8)
    assert torch.equal(plain, towers.user.positions(content, residuals=with_zeros))
    changed = with_zeros.clone()
    changed[:, 3] = residuals[:, 3]
    after = towers.user.positions(content, residuals=changed)
    torch.testing.assert_close(plain[:, :3], after[:, :3])
    assert (plain[:, 3:] - after[:, 3:]).abs().amax(-1).min() > 1e-4
    lengths = torch.tensor([2, 6, 4])
    rows = torch.arange(3), lengths - 1
    torch.testing.assert_close(
        towers.user(content, lengths, residuals), towers.user.positions(content, residuals=residuals)[rows]
    )


def test_the_recency_sum_reads_item_vectors_with_their_residuals(make_towers):
    towers = make_towers("projection", residuals=True)
    content, residuals = torch.randn(2, 5, 12), torch.randn(2, 5, 8)
    vectors = towers.item(content.flatten(0, 1), residuals.flatten(0, 1)).unflatten(0, (2, 5))
    given = towers.user.positions(content, residuals=residuals, item_vectors=vectors)
    torch.testing.assert_close(towers.user.positions(content, residuals=residuals), given)
    bare = towers.user.positions(content, residuals=residuals, item_vectors=towers.item.each(content))
    assert (given - bare).abs().amax() > 1e-3


def test_targets_carry_residuals(make_towers):
    content, residuals = torch.randn(2, 4, 12), torch.randn(2, 4, 8)
    for variant in VARIANTS:
        towers = make_towers(variant, residuals=True)
        one = towers.item(content[:, 0], residuals[:, 0])
        torch.testing.assert_close(towers.item.targets(content, residuals)[:, 0], one)


def test_residuals_are_learned_through_both_towers(make_towers):
    towers = make_towers("projection", residuals=True)
    table = torch.zeros(4, 8, requires_grad=True)
    users = towers.user.positions(torch.randn(1, 3, 12), residuals=table[:3][None])[:, -1]
    (users @ towers.item(torch.randn(1, 12), table[3:]).T).sum().backward()
    assert (table.grad.abs().amax(-1) > 0).all()


def test_towers_without_residuals_take_none(make_towers):
    towers = make_towers("projection")
    with pytest.raises(ValueError, match="towers without"):
        towers.item(torch.randn(1, 12), torch.zeros(1, 8))
    with pytest.raises(ValueError, match="towers without"):
        towers.user.positions(torch.randn(1, 2, 12), residuals=torch.zeros(1, 2, 8))
