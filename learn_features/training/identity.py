"""What decides the outcome of a training, as a checkpoint notes it: settings as they are, data as digests."""

from collections.abc import Iterator, Sequence
from typing import Any

from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec
from learn_features.data.digest import digest
from learn_features.data.splits import Split
from learn_features.towers.config import TowerConfig
from learn_features.towers.weights import tensors
from learn_features.training.ranks import Ranks
from learn_features.training.recipe import Recipe
from learn_features.training.warm_start import Parent

MACHINE = ("processes", "device")
"""Inputs that change bits, but not what a training is of."""


def training_inputs(
    parts: Split,
    item_ids: Sequence[str],
    towers: TowerConfig,
    recipe: Recipe,
    *,
    seed: int,
    encoder: EncoderSpec,
    history: HistoryRule,
    parent: Parent | None,
    ranks: Ranks,
) -> dict[str, Any]:
    """By name, JSON: `towers` (the architecture), `recipe` and so on; `data` and `parent` as digests."""
    return {
        "towers": towers.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "encoder": encoder.model_dump(mode="json"),
        "history": history.model_dump(mode="json"),
        "data": parts.digest(item_ids),
        "parent": _parent_digest(parent, item_ids) if parent is not None else None,
        "processes": ranks.count,
        "device": ranks.device.type,
    }


def differences(theirs: Any, ours: Any, name: str = "") -> Iterator[str]:
    """`name 1 → 2` of every value of two nested dictionaries that differs, theirs first."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            yield from differences(theirs.get(key), ours.get(key), f"{name}.{key}" if name else key)
    elif theirs != ours:
        yield f"{name} {theirs!r} → {ours!r}"


def _parent_digest(parent: Parent, item_ids: Sequence[str]) -> str:
    weights = [tensor.numpy() for _, tensor in sorted(tensors(parent.towers).items())]
    residuals = [] if parent.residuals is None else [parent.residuals.lookup(item_ids)]
    return digest(*weights, *residuals)
