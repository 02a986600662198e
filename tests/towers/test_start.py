"""Towers that begin near the geometry of the content, before any training."""

import pytest
import torch
from torch.nn import functional as F

from learn_features.towers.config import TowerConfig
from learn_features.towers.model import Towers

WIDE, RANK = 48, 6


def towers_of(content: torch.Tensor, variant: str, start: bool, **changes) -> Towers:
    torch.manual_seed(0)
    dimension = content.shape[1] if variant == "content" else 8
    towers = Towers(
        TowerConfig(
            content_dimension=content.shape[1], dimension=dimension, width=32, heads=2, item_variant=variant,
            recency_sum=False, **changes,
        )
    ).eval()  # fmt: skip
    towers.fit_input(content)
    if start:
        towers.start_from_content(content)
    return towers


def catalogue(rank: int = RANK) -> torch.Tensor:
    """(300, WIDE) of few dimensions, off the origin."""
    torch.manual_seed(1)
    return torch.randn(300, rank) @ torch.randn(rank, WIDE) + 2


def nearest(vectors: torch.Tensor) -> torch.Tensor:
    """(n, 10) each row's nearest others by cosine."""
    unit = F.normalize(vectors, dim=-1)
    return (unit @ unit.T).fill_diagonal_(-2).topk(10).indices


def agreement(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Share of neighbours that both know."""
    return float((ours[:, :, None] == theirs[:, None, :]).any(-1).float().mean())


@pytest.mark.parametrize("variant", ["sequence", "single"])
@torch.inference_mode()
def test_neighbours_of_items_are_those_of_their_content(variant):
    content = catalogue()
    expected = nearest(content - content.mean(0))
    started = agreement(nearest(towers_of(content, variant, True).item(content)), expected)
    random = agreement(nearest(towers_of(content, variant, False).item(content)), expected)
    assert started > 0.6
    assert started > random + 0.1


@torch.inference_mode()
def test_a_history_of_one_is_near_its_own_content_where_that_is_the_item_vector():
    content = catalogue()
    centred = content - content.mean(0)
    users = towers_of(centred, "content", True).user.positions(centred[:, None])[:, 0]
    assert F.cosine_similarity(users, centred).mean() > 0.8


@torch.inference_mode()
def test_both_alignments_start_where_they_are_two():
    content = catalogue()
    towers = towers_of(content, "single", True, shared_weights=False)
    items, users = towers.item.alignment.adaptor.weight, towers.user.alignment.adaptor.weight
    torch.testing.assert_close(items[:RANK], users[:RANK])
    assert not torch.allclose(items[RANK:], users[RANK:])


@torch.inference_mode()
def test_axes_without_spread_keep_their_random_start():
    towers = towers_of(catalogue(rank=3), "single", True)
    weight = towers.user.alignment.adaptor.weight
    assert torch.isfinite(weight).all()
    random = towers_of(catalogue(rank=3), "single", False).user.alignment.adaptor.weight
    torch.testing.assert_close(weight[3:], random[3:])
    assert not torch.allclose(weight[:3], random[:3])
