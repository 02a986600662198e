"""Scores of every item for evaluation cases, from trained towers."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learn_features.data.cases import Cases
from learn_features.data.time_gaps import time_gaps
from learn_features.towers.model import Towers
from learn_features.towers.weights import load_residuals, load_towers

ITEM_BATCH = 4096
TOKENS = 16_384
"""History entries, padding included, that go through the user tower at once."""


def tower_scorer(
    run_folder: str | Path, content: NDArray[np.float16], item_ids: Sequence[str]
) -> Callable[[Cases], NDArray[np.float32]]:
    """A scorer with the towers of a run or bundle: cases to float32 cosines (n cases, n items).

    `content` (n items, C) and `item_ids` are in the order of the data set's items; items that the run has
    residuals of are scored with them. Raises `BundleError`.
    """
    towers = load_towers(run_folder)
    residuals = load_residuals(run_folder)
    known = None if residuals is None else residuals.lookup(item_ids)
    return scorer(towers, content, known)


def scorer(
    towers: Towers,
    content: NDArray[np.float16],
    residuals: NDArray[np.float32] | Tensor | None = None,
) -> Callable[[Cases], NDArray[np.float32]]:
    """A scorer with towers in memory.

    `residuals` (n items, D) in the order of `content`, zeros for items that have none; None: all of them.
    Item vectors are computed here, once. A case with an empty history scores 0 everywhere.
    """
    table = torch.from_numpy(np.ascontiguousarray(content))
    beside = None if residuals is None else torch.as_tensor(residuals).detach()
    items = item_vectors(towers, table, beside)

    def score(cases: Cases) -> NDArray[np.float32]:
        users = case_vectors(towers, table, cases, beside)
        scores: NDArray[np.float32] = (users @ items.T).cpu().numpy()
        return scores

    return score


@torch.inference_mode()
def item_vectors(towers: Towers, content: Tensor, residuals: Tensor | None = None) -> Tensor:
    """Vectors (n, D) float32 of all items, `content` (n, C) of any float type, `residuals` (n, D)."""
    device = towers.log_scale.device
    was_training = towers.training
    towers.eval()
    beside = [None] * len(content) if residuals is None else residuals.split(ITEM_BATCH)
    parts = [
        towers.item(part.to(device).float(), None if known is None else known.to(device).float())
        for part, known in zip(content.split(ITEM_BATCH), beside, strict=False)
    ]
    towers.train(was_training)
    return torch.cat(parts)


def case_vectors(towers: Towers, content: Tensor, cases: Cases, residuals: Tensor | None = None) -> Tensor:
    """User vectors (n, D) of `cases`; `content` (n items, C), `residuals` (n items, D)."""
    return user_vectors(
        towers,
        content,
        cases.history_offsets,
        cases.history_items,
        residuals=residuals,
        times_us=cases.history_times_us,
        ages_us=cases.ages_us,
    )


@torch.inference_mode()
def user_vectors(
    towers: Towers,
    content: Tensor,
    offsets: NDArray[np.int64],
    history: NDArray[np.int32],
    *,
    residuals: Tensor | None = None,
    times_us: NDArray[np.int64] | None = None,
    ages_us: NDArray[np.int64] | None = None,
) -> Tensor:
    """Vectors (n, D) of n histories in CSR form, cut to the newest entries that the towers read; batches hold
    histories of like length.

    `residuals` (n items, D); `times_us` of the entries, needed by towers that read time gaps; `ages_us` (n,)
    as in `Cases`, for towers that read example ages.
    """
    device = towers.log_scale.device
    was_training = towers.training
    towers.eval()
    ends = offsets[1:]
    lengths = np.minimum(np.diff(offsets), towers.config.max_length)
    vectors = torch.zeros(len(lengths), towers.config.dimension, device=device)
    gaps = None
    if towers.config.time_gaps and times_us is not None:
        starts = ends - lengths  # where the newest entries begin
        gaps = torch.from_numpy(time_gaps(times_us, starts[lengths > 0]))
    ages = None
    if towers.config.example_age and ages_us is not None:
        ages = torch.from_numpy((ages_us / 1e6).astype(np.float32))
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
        mask = torch.from_numpy(real).to(device)
        vectors[torch.from_numpy(rows).to(device)] = towers.user(
            content[index].to(device).float() * mask[..., None],
            torch.from_numpy(lengths[rows]).to(device),
            None if residuals is None else residuals[index].to(device).float() * mask[..., None],
            None if gaps is None else gaps[torch.from_numpy(source)].to(device),
            None if ages is None else ages[torch.from_numpy(rows)].to(device),
        )
    towers.train(was_training)
    return vectors
