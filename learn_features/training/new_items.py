"""Where new items stand among trained ones.

The towers see trained items at their best: with content that they were fitted to, and mostly a residual. A
truly new item has neither, scores lower with everybody, and would hardly be shown. So while the number of
epochs is found, some items are held out as if they were new, and how far new items have to move towards
the mean user vector is measured: just as far as gives them the share of places among the first 10 that
is theirs of what users took.

The move costs nothing at serving: it goes into the bias of the projection, and out of the residuals of
trained items, which stay where they were.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from learn_features.data.cases import Cases
from learn_features.data.splits import Split
from learn_features.errors import ConfigError
from learn_features.towers.scoring import item_vectors, user_vectors
from learn_features.training.trained import Trained

PLACES = 10
MOVES = np.linspace(0, 2, 81)
"""Candidates, in units of the mean length of a trained item's projection."""


def draw_new(parts: Split, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """`share` of the trained items, rising."""
    trained = np.unique(parts.train.items).astype(np.int64)
    return np.sort(rng.choice(trained, size=round(share * len(trained)), replace=False))


@torch.inference_mode()
def find_move(model: Trained, content: Tensor, cases: Cases, new: NDArray[np.int64]) -> float:
    """How far `new` items have to move, in units of MOVES; 0 where they have their share without.

    `content` (n items, C); `model` was trained without anything of `new` items.
    """
    users = _user_vectors(model, content, cases)
    scores = users @ item_vectors(model.towers, content, model.by_item()).T
    rows = np.repeat(np.arange(len(cases)), np.diff(cases.history_offsets))
    scores[torch.from_numpy(rows), torch.from_numpy(cases.history_items.astype(np.int64))] = -torch.inf
    of_new = torch.from_numpy(new).to(scores.device)
    seen_new = torch.isinf(scores[:, of_new])
    scores[:, of_new] = -torch.inf
    places = min(PLACES, scores.shape[1] - len(new), len(new))
    best_others = scores.topk(places, dim=1).values
    direction, length = _direction(users), _length(model, content)
    projected = _projected(model, content, new)
    wanted = float(np.isin(cases.target_items, new).mean())
    for move in MOVES:
        moved = F.normalize(projected + move * length * direction, dim=-1)
        best_new = (users @ moved.T).masked_fill(seen_new, -torch.inf).topk(places, dim=1).values
        first = torch.cat((best_others, best_new), dim=1).topk(places, dim=1).indices
        if float((first >= places).float().mean()) >= wanted:
            return float(move)
    return float(MOVES[-1])


@torch.no_grad()
def move_new_items(model: Trained, content: Tensor, cases: Cases, move: float) -> None:
    """Move every item without a residual by `move`, as `find_move` measured it; trained ones stay."""
    if model.residuals is None or model.towers.item.projection is None:
        raise ConfigError("training: new items are moved only where items have a projection and residuals")
    shift = move * _length(model, content) * _direction(_user_vectors(model, content, cases))
    model.towers.item.projection.linear.bias += shift
    model.residuals -= shift


def _user_vectors(model: Trained, content: Tensor, cases: Cases) -> Tensor:
    return user_vectors(
        model.towers,
        content,
        cases.history_offsets,
        cases.history_items,
        model.towers.config.max_length,
        residuals=model.by_item(),
        times_us=cases.history_times_us,
    )


def _direction(users: Tensor) -> Tensor:
    """Unit vector (D,) of the mean user."""
    return F.normalize(users.mean(dim=0), dim=0)


def _length(model: Trained, content: Tensor) -> Tensor:
    return _projected(model, content, model.items).norm(dim=-1).mean()


def _projected(model: Trained, content: Tensor, items: NDArray[np.int64]) -> Tensor:
    """What the item tower makes of content alone, before normalising, (n, D)."""
    tower = model.towers.item
    assert tower.projection is not None
    was_training = tower.training
    tower.eval()
    device = model.towers.log_scale.device
    rows = content[torch.from_numpy(items)].to(device).float()
    projected: Tensor = tower.projection(tower.input(rows))
    tower.train(was_training)
    return projected
