"""How much new items borrow from the audiences of known items of similar content.

A known item's audience is the mean user vector at which it was taken. While the number of epochs is found,
some items are held out as if they were new (`new_items.draw_new`). Where a user took one of them after
everything that the towers were trained on, it is ranked among them, and the least strength that ranks them
next to best is kept, which may be none. (What a user took before is no test: the vectors after it have learnt
where the user goes.) Trained items borrow nothing, and training itself knows nothing of this.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from learn_features.data.sequences import Sequences
from learn_features.evaluation import harness, metrics
from learn_features.towers.scoring import ITEM_BATCH, user_vectors
from learn_features.training import windows
from learn_features.training.trained import Trained

PLACES = 10
"""The criterion is NDCG at so many."""
STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
"""In units of the spread of what the projection makes of known items."""
TOLERANCE = 0.01
"""Share of the best criterion that a weaker strength may cost: what is borrowed is less the item's own."""
SHRINK = 10.0
"""An audience counts as if so many users more had been the mean user."""
PAIRS_PER_BATCH, BATCHES = 600, 400
"""Audiences are means over as many (history, item) pairs at most."""
CASES = 5_000
"""Takings of held-out items that are ranked, at most."""


def find_strength(
    model: Trained, content: Tensor, sequences: Sequences, log: Sequences, new: NDArray[np.int64]
) -> float:
    """How strongly to borrow for what ranks the `new` items of `log` among themselves.

    `model` was trained on `sequences`, a part of the log without them. `content` (n items, C). Leaves the
    towers in evaluation mode and ready to lend (`set_strength`)."""
    values = by_strength(model, content, sequences, log, new)
    enough = np.flatnonzero(np.asarray(values) >= (1 - TOLERANCE) * max(values)) if values else [0]
    return STRENGTHS[int(enough[0])]


@torch.no_grad()
def by_strength(
    model: Trained, content: Tensor, sequences: Sequences, log: Sequences, new: NDArray[np.int64]
) -> list[float]:
    """NDCG at `PLACES` of each of `STRENGTHS`; empty where nothing can be ranked."""
    contexts, targets = _takings(sequences, log, new)
    tower = model.towers.item
    if tower.similar is None or not len(targets):
        return []
    lend(model, content, sequences, 1.0)
    users, seen = _asking(model, content, log, contexts, new)
    own = torch.from_numpy(np.searchsorted(new, targets))
    projected, borrowed = (over_items(model, content, new, what) for what in (tower.aligned, tower.borrowed))
    return [_value(users, projected + strength * borrowed, own, seen) for strength in STRENGTHS]


@torch.no_grad()
def lend(model: Trained, content: Tensor, sequences: Sequences, strength: float) -> None:
    """Fill the towers' table of similar items from `sequences`, which `model` was trained on, or empty it."""
    similar = model.towers.item.similar
    if similar is None:
        return
    similar.make_room(0)
    similar.strength.fill_(strength)
    if not strength:
        return
    model.eval()
    items, audiences = _audiences(model, content, sequences, model.towers.config.similar_items)
    contents = content[torch.from_numpy(items)].to(model.device).float()
    projected = model.towers.item.aligned(contents)
    spread = (projected - projected.mean(0)).square().sum(-1).mean().sqrt()  # which no move changes
    similar.fill(model.towers.item.input(contents), spread * audiences)


def set_strength(model: Trained, strength: float) -> None:
    """Let a table that `lend` filled lend so strongly; 0 empties it, so that nobody compares for nothing."""
    similar = model.towers.item.similar
    if similar is not None:
        similar.strength.fill_(strength)
        if not strength:
            similar.make_room(0)


@torch.no_grad()
def over_items(
    model: Trained, content: Tensor, items: NDArray[np.int64], what: Callable[[Tensor], Tensor]
) -> Tensor:
    """`what` the item tower makes of the contents of `items`, (n, D), as it does at inference."""
    tower = model.towers.item
    was_training = tower.training
    tower.eval()
    batches = torch.from_numpy(items).split(ITEM_BATCH)
    made = [what(content[batch].to(model.device).float()) for batch in batches]
    tower.train(was_training)
    return torch.cat(made)


def _audiences(
    model: Trained, content: Tensor, sequences: Sequences, at_most: int
) -> tuple[NDArray[np.int64], Tensor]:
    """Positions (n,) of the items most often taken, rising, and the shrunken means (n, D) of how the users
    that took each differ from all. Users are as they are served, at the end of the log."""
    towers, device = model.towers, model.device
    sums = torch.zeros(len(content), towers.config.dimension, device=device)
    counts = torch.zeros(len(content), device=device)
    residuals = model.by_item()
    batches = windows.window_batches(
        sequences,
        windows.pairs(sequences),
        max_length=towers.config.max_length,
        pairs_per_step=PAIRS_PER_BATCH,
        steps=BATCHES,
        rng=np.random.default_rng(0),
    )
    for batch in batches:
        items, rows, positions, targets = (
            torch.from_numpy(part).to(device)
            for part in (batch.items, batch.rows, batch.positions, batch.targets)
        )
        vectors = towers.user.positions(
            content[items.cpu()].to(device).float(),
            residuals=None if residuals is None else residuals[items],
            gaps=torch.from_numpy(batch.gaps).to(device) if towers.config.time_gaps else None,
        )[rows, positions]
        sums.index_add_(0, targets, vectors)
        counts.index_add_(0, targets, torch.ones_like(targets, dtype=counts.dtype))
    mean = sums.sum(0) / counts.sum().clamp_min(1)
    often = torch.argsort(counts, descending=True, stable=True)[:at_most]
    chosen = often[counts[often] > 0].sort().values
    taken = counts[chosen, None]
    return chosen.cpu().numpy(), (sums[chosen] - taken * mean) / (taken + SHRINK)


def _takings(
    sequences: Sequences, log: Sequences, new: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where users of `log` first took one of `new` after their last entry in `sequences`: places of the
    entries before (n,), and what was taken (n,)."""
    ends = dict(zip(sequences.user_ids, sequences.times_us[sequences.offsets[1:] - 1], strict=True))
    learnt_us = np.array([ends.get(user, np.iinfo(np.int64).min) for user in log.user_ids])
    _, first = np.unique(log.users * (1 + int(log.items.max(initial=0))) + log.items, return_index=True)
    is_first = np.zeros(len(log.items), dtype=bool)
    is_first[first] = True
    pairs = windows.pairs(log)
    later = log.times_us[pairs.target] > learnt_us[log.users[pairs.target]]
    asked = np.flatnonzero(later & is_first[pairs.target] & np.isin(log.items[pairs.target], new))
    if len(asked) > CASES:
        asked = np.sort(np.random.default_rng(0).choice(asked, CASES, replace=False))
    return pairs.context[asked], log.items[pairs.target[asked]]


def _asking(
    model: Trained, content: Tensor, log: Sequences, contexts: NDArray[np.int64], new: NDArray[np.int64]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """User vectors (n, D) after the entries `contexts` (n,), and which of `new` their histories hold: rows
    and columns."""
    starts = log.offsets[:-1][log.users[contexts]]
    lengths = contexts + 1 - starts
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.repeat(np.arange(len(contexts)), lengths)
    places = np.arange(offsets[-1]) - offsets[:-1][rows] + starts[rows]
    users = user_vectors(
        model.towers,
        content,
        offsets,
        log.items[places],
        residuals=model.by_item(),
        times_us=log.times_us[places],
    )
    held = np.isin(log.items[places], new)
    columns = np.searchsorted(new, log.items[places][held])
    return users, (torch.from_numpy(rows[held]), torch.from_numpy(columns))


def _value(users: Tensor, vectors: Tensor, targets: Tensor, seen: tuple[Tensor, Tensor]) -> float:
    """Mean NDCG at `PLACES` of one target each (column of `vectors`); what is seen is not ranked."""
    users, vectors = users.cpu(), F.normalize(vectors, dim=-1).cpu()
    size, ranks = harness.cases_at_once(len(vectors), len(users)), []
    for first in range(0, len(users), size):
        scores = users[first : first + size] @ vectors.T
        inside = (seen[0] >= first) & (seen[0] < first + size)
        scores[seen[0][inside] - first, seen[1][inside]] = -torch.inf
        asked = targets[first : first + size].numpy()
        ranks.append(metrics.strict_ranks(scores.numpy(), np.arange(len(asked) + 1), asked))
    return float(metrics.ndcg(np.concatenate(ranks), np.arange(len(targets) + 1), PLACES).mean())
