"""Where new items stand among trained ones.

The towers see trained items at their best: with content that they were fitted to, and mostly a residual. A
truly new item has neither, scores lower with everybody, and would hardly be shown. So while the number of
epochs is found, some items are held out as if they were new, and how far items without a residual may move
towards the mean user vector is measured: as far as the ranking of all validation cases, whether they ask for
a new item or not, stays next to its best, so many of the items being new. Items that were there and nobody
took are not new; where the log does not tell which they are, they move along, and hold the move back.

The move costs nothing at serving: it goes into the bias of the projection, and out of the residuals of
trained items, which stay where they were. Before it is measured, new items borrow from similar ones
(`audience.py`), which orders them among themselves.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from learn_features.data.cases import Cases
from learn_features.data.splits import Split
from learn_features.errors import ConfigError
from learn_features.evaluation import harness, metrics
from learn_features.towers.model import Towers
from learn_features.towers.scoring import case_vectors, item_vectors
from learn_features.training.audience import PLACES, over_items
from learn_features.training.trained import Trained

MOVES = np.linspace(0, 1, 41) ** 2
"""Candidates, in units of the mean length of a trained item's projection; close together where a step costs
most."""

CASES = 256
"""Ranked at a time, at most."""
KNOWN = 1e-6
"""A residual that says nothing but that its item is not new."""


@dataclass(frozen=True)
class NewItems:
    """Where new items stand: how far they move, in units of MOVES, and how strongly they borrow."""

    move: float = 0.0
    borrowing: float = 0.0


def draw_new(parts: Split, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """`share` of the trained items, rising."""
    trained = parts.train.taken
    return np.sort(rng.choice(trained, size=round(share * len(trained)), replace=False))


@torch.inference_mode()
def find_move(
    model: Trained, content: Tensor, cases: Cases, passed_over: NDArray[np.int64], cost: float
) -> float:
    """How far items without a residual may move, in units of MOVES, where that may `cost` a share of the best
    NDCG.

    Judged by each case's first target, which its history must lack. `content` (n items, C). New are items
    that `model` has no residuals for, but for those `passed_over`, which were there and nobody took: they
    stay. Moving items borrow what the towers have to lend. Leaves the towers in evaluation mode.
    """
    users = case_vectors(model.towers, content, cases, model.by_item()).cpu()
    moving = np.setdiff1d(np.arange(len(content)), np.union1d(model.items, passed_over))
    residuals = model.by_item()
    if residuals is not None:
        stays = torch.ones(len(content), dtype=torch.bool).index_fill_(0, torch.from_numpy(moving), False)
        residuals[stays.to(model.device) & (residuals == 0).all(dim=1)] = KNOWN
    vectors = item_vectors(model.towers, content, residuals).cpu()
    tower = model.towers.item
    aligned, borrowed = (over_items(model, content, moving, what) for what in (tower.aligned, tower.borrowed))
    projected = (aligned + borrowed).cpu()
    step = (mean_length(model, content) * mean_user(model, content, cases)).cpu()
    lengths = torch.stack([(projected + move * step).norm(dim=-1).clamp_min(1e-12) for move in MOVES])
    values = np.zeros(len(MOVES))
    size = harness.cases_at_once(len(content), CASES)
    for first in range(0, len(cases), size):
        part = slice(first, first + size)
        asking = users[part]
        scores = asking @ projected.T, (asking @ step)[:, None]
        values += _by_move(asking @ vectors.T, cases.select(part), moving, *scores, lengths)
    if not values.any():  # nothing is found wherever they stand
        return 0.0
    return float(MOVES[np.flatnonzero(values >= (1 - cost) * values.max())[-1]])


def _by_move(
    staying: Tensor, cases: Cases, moving: NDArray[np.int64], unmoved: Tensor, gained: Tensor, lengths: Tensor
) -> NDArray[np.float64]:
    """For each of MOVES the NDCG of `cases`, summed up.

    Scores: `staying` (n, items) of all where they stay, which is written over. Of `moving` items, before
    their vectors are normalised, `unmoved` (n, moving) and what a unit of move adds, `gained` (n, 1);
    `lengths` (MOVES, moving) are the vectors' by then.
    """
    rows = torch.arange(len(cases))
    targets = torch.from_numpy(cases.target_items[cases.target_offsets[:-1]].astype(np.int64))
    column = torch.full((staying.shape[1],), -1)
    column[torch.from_numpy(moving)] = torch.arange(len(moving))
    seen_rows = torch.from_numpy(np.repeat(np.arange(len(cases)), np.diff(cases.history_offsets)))
    seen_items = torch.from_numpy(cases.history_items.astype(np.int64))

    own = staying[rows, targets]
    staying[seen_rows, seen_items] = -torch.inf
    staying[:, torch.from_numpy(moving)] = -torch.inf
    is_moving, seen_moves = column[targets] >= 0, column[seen_items] >= 0
    seen = torch.zeros(len(cases), len(moving), dtype=torch.bool)
    seen[seen_rows[seen_moves], column[seen_items][seen_moves]] = True
    stayed = (staying >= own[:, None]).sum(1)  # only targets that move change places among these
    values = []
    for move, length in zip(MOVES, lengths, strict=True):
        moved = ((unmoved + move * gained) / length).masked_fill_(seen, -torch.inf)
        wanted = torch.where(is_moving, moved[rows, column[targets].clamp_min(0)], own)[:, None]
        stayed[is_moving] = (staying[is_moving] >= wanted[is_moving]).sum(1)
        ranks = stayed + (moved >= wanted).sum(1)
        values.append(metrics.ndcg(ranks.numpy(), np.arange(len(ranks) + 1), PLACES).sum())
    return np.array(values)


@torch.no_grad()
def move_new_items(model: Trained, content: Tensor, cases: Cases, move: float) -> Tensor:
    """Move every item without a residual by `move`, as `find_move` measured it; trained ones stay.

    The shift (D,) of the projection, which is the negative residual of whatever else is to stay.
    """
    if model.residuals is None or model.towers.item.projection is None:
        raise ConfigError("training: new items are moved only where items have a projection and residuals")
    shift = move * mean_length(model, content) * mean_user(model, content, cases)
    model.towers.item.projection.linear.bias += shift
    if model.towers.item.moved is not None:
        model.towers.item.moved += shift
    model.residuals -= shift / model.served_share
    return shift


@torch.no_grad()
def take_back_move(towers: Towers) -> None:
    """Undo `move_new_items` in the towers; what residuals lost by it is theirs to get back.

    Trained on with the move in it, the bias would learn it away: a step leaves some residuals out, and the
    items that they belong to stand where they should not.
    """
    tower = towers.item
    if tower.moved is not None and tower.projection is not None:
        tower.projection.linear.bias -= tower.moved
        tower.moved.zero_()


@torch.no_grad()
def mark_known(model: Trained) -> None:
    """Give trained items of which nothing was learned a residual that says no more than that."""
    if model.residuals is not None:
        model.residuals[(model.residuals == 0).all(dim=1)] = KNOWN


def mean_user(model: Trained, content: Tensor, cases: Cases) -> Tensor:
    """Unit vector (D,) of the mean user, asked for at the end of the log as served ones are."""
    users = case_vectors(model.towers, content, replace(cases, ages_us=None), model.by_item())
    return F.normalize(users.mean(dim=0), dim=0)


def mean_length(model: Trained, content: Tensor) -> Tensor:
    """Scalar, of what the projection makes of trained items."""
    return over_items(model, content, model.items, model.towers.item.aligned).norm(dim=-1).mean()
