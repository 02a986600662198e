"""Losses over unit vectors; `scale` is 1 / temperature. All return a mean, in nats, and compute in float32:
the eight bits of bf16 are too few for a sum over a catalogue."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def full_softmax(
    users: Tensor,
    items: Tensor,
    positives: Tensor,
    scale: Tensor,
    *,
    seen: Tensor | None = None,
    votes: Tensor | None = None,
    votes_share: float = 0.0,
) -> Tensor:
    """Cross-entropy over the whole catalogue, but for what was seen.

    `users` (P, D), `items` (M, D) one row a catalogue item, `positives` (P,) int64 rows of `items`.
    `seen` (P, L) int64, rows of `items` or M for none: no negatives of this position, as a ranking leaves
    them out, too; the positive itself stays. `votes` (P, M), rows that sum to 1, or to 0 where nobody
    votes: a teacher's distribution, which gets `votes_share` of the positive's weight.
    """
    with full_precision(users):
        users, items = scale * users.float(), items.float()
        logits = users @ items.T
        if seen is not None:
            hidden = torch.zeros(len(users), len(items) + 1, dtype=torch.bool, device=users.device)
            hidden.scatter_(1, seen, True).scatter_(1, positives[:, None], False)
            logits = logits.masked_fill(hidden[:, :-1], -torch.inf)
        wanted = items[positives]
        if votes is not None and votes_share:
            # the mean score under votes is the score of their mean item: no table of logs is needed
            taught = votes_share * votes
            wanted = (1 - taught.sum(dim=1, keepdim=True)) * wanted + taught @ items
        return (torch.logsumexp(logits, dim=1) - (users * wanted).sum(dim=1)).mean()


def sampled_softmax(
    users: Tensor,
    positives: Tensor,
    positive_ids: Tensor,
    negatives: Tensor,
    negative_ids: Tensor,
    catalogue: int,
    scale: Tensor,
    *,
    seen: Tensor | None = None,
) -> Tensor:
    """Cross-entropy over the positive and a uniform sample that stands for the rest of the catalogue.

    `users` and `positives` (P, D), `negatives` (S, D) drawn uniformly from `catalogue` items; a negative
    that is the row's positive, or among `seen` (P, L), columns of `negatives` or S for none, does not
    count, the others weigh (catalogue − 1) / their number.
    """
    same = positive_ids[:, None] == negative_ids[None, :]
    if seen is not None:
        hidden = torch.zeros(len(users), len(negatives) + 1, dtype=torch.bool, device=users.device)
        same = same | hidden.scatter_(1, seen, True)[:, :-1]
    others = (~same).sum(dim=1, keepdim=True).clamp_min(1)
    with full_precision(users):
        users = scale * users.float()
        logits = users @ negatives.float().T + torch.log((catalogue - 1) / others)
        logits = logits.masked_fill(same, -torch.inf)
        right = (users * positives.float()).sum(-1, keepdim=True)
        log_sum = torch.logsumexp(torch.cat((right, logits), dim=1), dim=1)
        return (log_sum - right.squeeze(1)).mean()


def dense_all_action(
    users: Tensor,
    items: Tensor,
    item_ids: Tensor,
    user_real: Tensor,
    item_real: Tensor,
    scale: Tensor,
    *,
    first: int = 0,
    log_frequency: Tensor | None = None,
) -> Tensor:
    """Every history position of a user against every target of the same user (PAPER: Training).

    `users` (B, Nh, D), `user_real` (B, Nh) bool; `items` (Z, Nt, D), `item_ids` and `item_real` (Z, Nt):
    the targets of Z ≥ B users, those of the B from row `first` on. Negatives are the other users'
    targets; one that equals a target of the same user does not count. `log_frequency` (Z, Nt): log of how
    often an item is a target, taken off its scores, as in-batch negatives are drawn by popularity (logQ
    correction, Yi et al. 2019, "Sampling-bias-corrected neural modeling"). The mean is over all real
    (position, target) pairs, 0 if there are none.
    """
    batch, history, _ = users.shape
    everybody, targets, _ = items.shape
    own = torch.arange(batch, device=users.device)
    with full_precision(users):
        scores = scale * users.float().flatten(0, 1) @ items.float().flatten(0, 1).T
        if log_frequency is not None:
            scores = scores - log_frequency.flatten()
        scores = scores.view(batch, history, everybody, targets)
        positive = scores[own, :, first + own, :]
        negatives = _negatives(item_ids, item_real, first, batch)
        negative_log_sum = torch.logsumexp(
            scores.masked_fill(~negatives[:, None], -math.inf).flatten(2), dim=-1
        )
        losses = F.softplus(negative_log_sum.unsqueeze(-1) - positive)
    pairs = user_real.unsqueeze(-1) & item_real[first : first + batch].unsqueeze(1)
    return torch.where(pairs, losses, 0.0).sum() / pairs.sum().clamp_min(1)


def full_precision(tensor: Tensor) -> torch.autocast:
    """No autocast on the device of `tensor`."""
    return torch.autocast(tensor.device.type, enabled=False)


def _negatives(item_ids: Tensor, item_real: Tensor, first: int, batch: int) -> Tensor:
    """(B, Z, Nt) bool: may target (z, k) be a negative of user i, who is row `first` + i?"""
    mine = slice(first, first + batch)
    equal = item_ids[mine, :, None, None] == item_ids[None, None, :, :]
    clash = (equal & item_real[mine, :, None, None]).any(dim=1)
    rows = torch.arange(len(item_ids), device=item_ids.device)
    other = rows[None, :] != rows[mine, None]
    return other.unsqueeze(-1) & item_real.unsqueeze(0) & ~clash
