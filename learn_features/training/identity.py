"""What decides the outcome of a training, as a checkpoint notes it: settings as they are, data as digests."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec
from learn_features.data.splits import Split
from learn_features.towers.config import TowerConfig
from learn_features.towers.weights import tensors
from learn_features.training.ranks import Ranks
from learn_features.training.recipe import Recipe
from learn_features.training.warm_start import Parent


def training_inputs(
    parts: Split,
    content: NDArray[np.float16],
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
    """By name, JSON: `towers` (the architecture), `recipe` and so on; `data` and `content` as digests."""
    cases = parts.validation
    return {
        "towers": towers.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "encoder": encoder.model_dump(mode="json"),
        "history": history.model_dump(mode="json"),
        "data": digest(
            *(part for log in (parts.train, parts.train_and_validation)
              for part in (log.offsets, log.items, log.times_us)),
            *(cases.history_offsets, cases.history_items, cases.target_offsets, cases.target_items),
            np.frombuffer("\0".join(item_ids).encode(), dtype=np.uint8),
        ),
        "content": digest(content),
        "parent": _parent_digest(parent, item_ids) if parent is not None else None,
        "processes": ranks.count,
        "device": ranks.device.type,
    }  # fmt: skip


def digest(*arrays: NDArray) -> str:
    """32 hex digits of arrays' types, shapes and bytes."""
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        whole = np.ascontiguousarray(array)
        state.update(f"{whole.dtype.str}{whole.shape}".encode())
        state.update(whole.view(np.uint8).data if whole.size else b"")
    return state.hexdigest()


def _parent_digest(parent: Parent, item_ids: Sequence[str]) -> str:
    weights = [tensor.numpy() for _, tensor in sorted(tensors(parent.towers).items())]
    residuals = [] if parent.residuals is None else [parent.residuals.lookup(item_ids)]
    return digest(*weights, *residuals)
