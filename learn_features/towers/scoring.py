"""Scores of every item for evaluation cases, from trained towers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learn_features.data.splits import Cases
from learn_features.towers.model import Towers
from learn_features.towers.weights import describe, history_rule, load_towers

ITEM_BATCH = 4096
TOKENS = 16_384
"""History entries, padding included, that go through the user tower at once."""


def tower_scorer(
    run_folder: str | Path, content: NDArray[np.float16]
) -> Callable[[Cases], NDArray[np.float32]]:
    """A scorer with the towers of a run or bundle: cases to float32 cosines (n cases, n items).

    `content` (n items, C) is in the order of the data set's items. Raises `BundleError`.
    """
    rule = history_rule(run_folder, describe(run_folder))
    return scorer(load_towers(run_folder), content, rule.max_length)


def scorer(
    towers: Towers, content: NDArray[np.float16], max_length: int
) -> Callable[[Cases], NDArray[np.float32]]:
    """A scorer with towers in memory; histories are cut to their newest `max_length` entries.

    Item vectors are computed here, once. A case with an empty history scores 0 everywhere.
    """
    table = torch.from_numpy(np.ascontiguousarray(content))
    items = item_vectors(towers, table)

    def score(cases: Cases) -> NDArray[np.float32]:
        users = user_vectors(towers, table, cases.history_offsets, cases.history_items, max_length)
        scores: NDArray[np.float32] = (users @ items.T).cpu().numpy()
        return scores

    return score


@torch.inference_mode()
def item_vectors(towers: Towers, content: Tensor) -> Tensor:
    """Vectors (n, D) float32 of all items, `content` (n, C) of any float type."""
    device = towers.log_scale.device
    was_training = towers.training
    towers.eval()
    parts = [towers.item(part.to(device).float()) for part in content.split(ITEM_BATCH)]
    towers.train(was_training)
    return torch.cat(parts)


@torch.inference_mode()
def user_vectors(
    towers: Towers,
    content: Tensor,
    offsets: NDArray[np.int64],
    history: NDArray[np.int32],
    max_length: int,
) -> Tensor:
    """Vectors (n, D) of n histories in CSR form; batches hold histories of like length."""
    device = towers.log_scale.device
    was_training = towers.training
    towers.eval()
    ends = offsets[1:]
    lengths = np.minimum(np.diff(offsets), max_length)
    vectors = torch.zeros(len(lengths), towers.config.dimension, device=device)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    at = 0
    while at < len(order):
        longest_next = lengths[order[min(at + TOKENS // int(lengths[order[at]]), len(order)) - 1]]
        rows = order[at : at + max(1, TOKENS // int(longest_next))]
        at += len(rows)
        length = int(lengths[rows[-1]])
        place = np.arange(length)[None, :]
        real = place < lengths[rows][:, None]
        source = np.where(real, (ends[rows] - lengths[rows])[:, None] + place, 0)
        index = torch.from_numpy(history[source].astype(np.int64))
        padded = content[index].to(device).float() * torch.from_numpy(real)[..., None].to(device)
        vectors[torch.from_numpy(rows).to(device)] = towers.user(
            padded, torch.from_numpy(lengths[rows]).to(device)
        )
    towers.train(was_training)
    return vectors
