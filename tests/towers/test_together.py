"""Groups of sequences that go through the towers together come out as they do one group after the other."""

import pytest
import torch

from learn_features.towers.config import TowerConfig
from learn_features.towers.model import Towers
from learn_features.towers.together import Group, encode_together

C, D = 6, 4
SHAPES = [(2, 1), (3, 5), (1, 7)]
CASES = {
    "sequence": {"item_variant": "sequence"},
    "weights of its own": {"item_variant": "sequence", "shared_weights": False},
    "single": {"item_variant": "single"},
    "projection": {"item_variant": "projection", "residuals": True},
    "content": {"item_variant": "content", "dimension": C},
    "residuals and gaps of sequences": {"item_variant": "sequence", "residuals": True, "time_gaps": True},
    "residuals and gaps": {"item_variant": "single", "residuals": True, "time_gaps": True},
    "positions": {"item_variant": "sequence", "positions": "learned"},
}


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_together_is_as_one_group_after_the_other(changes):
    torch.manual_seed(0)
    config = TowerConfig(
        content_dimension=C, width=8, heads=2, layers=2, feedforward=16,
        max_length=4, **{"dimension": D, "recency_sum": changes.get("residuals", False), **changes},
    )  # fmt: skip
    towers = Towers(config).eval()
    histories, targets = [[group(config, *shape, gaps) for shape in SHAPES] for gaps in (True, False)]
    users, items = encode_together(towers, histories, targets[:2])
    for found, given in zip(users, histories, strict=True):
        expected = towers.user.positions(given.content, residuals=given.residuals, gaps=given.gaps)
        torch.testing.assert_close(found, expected)
    for found, given in zip(items, targets[:2], strict=True):
        torch.testing.assert_close(found, towers.item.targets(given.content, given.residuals))


def group(config, rows, length, history):
    return Group(
        torch.randn(rows, length, C),
        torch.randn(rows, length, D) if config.residuals else None,
        torch.rand(rows, length) * 1e5 if history and config.time_gaps else None,
    )
