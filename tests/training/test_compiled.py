"""Compiled layers compute what plain ones do, and a machine that cannot compile trains all the same."""

import copy
from functools import partial

import pytest
import torch

from learn_features.towers.blocks import all_layers
from learn_features.towers.config import TowerConfig
from learn_features.towers.model import Towers
from learn_features.towers.scoring import item_vectors
from learn_features.towers.together import Group, encode_together
from learn_features.training import seeds
from learn_features.training.compiled import compile_layers, with_bits

CONFIG = TowerConfig(
    content_dimension=6, width=8, heads=2, layers=2, feedforward=16, dimension=4, dropout=0.3,
    item_variant="sequence", shared_weights=False, recency_sum=False,
)  # fmt: skip
BF16 = partial(torch.autocast, "cpu", torch.bfloat16)
FP32 = partial(torch.autocast, "cpu", enabled=False)


@pytest.fixture
def towers():
    torch.manual_seed(0)
    torch.compiler.reset()
    return Towers(CONFIG).train()


@pytest.mark.parametrize(("autocast", "tolerance"), [(FP32, 1e-5), (BF16, 0.05)])
def test_compiled_layers_have_the_same_gradients(towers, autocast, tolerance):
    """In bf16 to its rounding: a fused kernel rounds less often. Several groups of sequences, of other shapes
    each time."""
    plain = copy.deepcopy(towers)
    draw_alike(plain)
    assert compile_layers(towers, autocast, backend="aot_eager")
    for shapes in (((3, 5), (4, 2)), ((2, 6), (3, 1))):
        groups = [Group(torch.randn(*shape, CONFIG.content_dimension)) for shape in shapes]
        expected, found = (gradients(model, groups, autocast) for model in (plain, towers))
        assert expected.keys() == found.keys()
        for name, gradient in expected.items():
            assert (found[name] - gradient).norm() <= tolerance * gradient.norm() + 1e-6, name


def test_dropout_repeats_itself_without_a_graph(towers):
    """As steps of several passes need it: they encode without a graph first, then with one."""
    compile_layers(towers, FP32, backend="aot_eager")
    content = torch.randn(3, 4, CONFIG.content_dimension)
    seeds.seed_torch(0, 0, "dropout", 1)
    with torch.no_grad():
        first = towers.user.positions(content)
    seeds.seed_torch(0, 0, "dropout", 1)
    assert torch.allclose(towers.user.positions(content), first, atol=1e-6)


def test_names_of_weights_stay(towers):
    names = list(towers.state_dict())
    compile_layers(towers, FP32, backend="aot_eager")
    assert list(towers.state_dict()) == names


def test_evaluation_is_not_compiled(towers):
    """It comes in ever other shapes, and is over before a compiler is."""
    content = torch.randn(5, CONFIG.content_dimension)
    expected = item_vectors(towers, content)
    compile_layers(towers, FP32, backend="aot_eager")
    groups = [Group(torch.randn(2, 3, CONFIG.content_dimension))]
    with torch.compiler.set_stance("fail_on_recompile"):
        assert torch.equal(item_vectors(towers, content), expected)
        towers.eval()
        encode_together(towers, groups, groups)


def test_one_graph_serves_all_lengths_and_another_number_of_groups_is_another(towers):
    """A first one for the shapes that come first, which stays for them."""
    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph

    assert compile_layers(towers, FP32, backend=counting)
    tried = len(graphs)
    seen = []
    for shapes in (
        ((5, 2), (3, 7)),
        ((4, 3), (6, 8)),
        ((7, 4), (2, 9)),
        ((6, 5), (3, 6), (2, 9)),
        ((5, 2), (3, 7)),
    ):
        towers.user.alignment.packed([torch.randn(*shape, CONFIG.width) for shape in shapes])
        seen.append(len(graphs) - tried)
    assert seen == [1, 2, 2, 3, 3]


def test_a_copy_has_weights_of_its_own(towers):
    """As the towers of the best epoch are, while training goes on with compiled ones."""
    compile_layers(towers, FP32, backend="aot_eager")
    content = torch.randn(2, 3, CONFIG.content_dimension)
    apart = copy.deepcopy(towers)
    with torch.no_grad():
        for parameter in towers.parameters():
            parameter.mul_(0.5)
    seeds.seed_torch(0, 0, "dropout", 0)
    found = apart.user.positions(content)
    plain = Towers(CONFIG).train()
    plain.load_state_dict(apart.state_dict())
    draw_alike(plain)
    seeds.seed_torch(0, 0, "dropout", 0)
    torch.testing.assert_close(found, plain.user.positions(content))


def test_a_machine_that_cannot_compile_says_so_and_goes_on(towers, caplog):
    def broken(graph, inputs):
        raise RuntimeError("no C compiler\nand many lines more")

    assert not compile_layers(towers, FP32, backend=broken)
    assert "layers stay uncompiled" in caplog.text
    assert "no C compiler" in caplog.text
    assert towers.user(*history()).isfinite().all()


def gradients(model, groups, autocast):
    model.zero_grad()
    seeds.seed_torch(0, 0, "dropout", 0)
    with autocast():
        users, items = encode_together(model, groups, groups)
        total = sum(vectors.float().sum() for vectors in (*users, *items))
    total.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def draw_alike(plain):
    """Let towers that are not compiled drop out what compiled ones do."""
    for tower in (plain.user, plain.item):
        tower.alignment.through = with_bits(all_layers)


def history():
    return torch.ones(2, 3, CONFIG.content_dimension), torch.tensor([3, 2])
