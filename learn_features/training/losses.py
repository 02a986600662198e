"""Losses over unit vectors; `scale` is 1 / temperature. All return a mean, in nats."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def full_softmax(users: Tensor, items: Tensor, positives: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy over the whole catalogue.

    `users` (P, D), `items` (M, D) one row a catalogue item, `positives` (P,) int64 rows of `items`.
    """
    return F.cross_entropy(scale * users @ items.T, positives)


def sampled_softmax(
    users: Tensor,
    positives: Tensor,
    positive_ids: Tensor,
    negatives: Tensor,
    negative_ids: Tensor,
    catalogue: int,
    scale: Tensor,
) -> Tensor:
    """Cross-entropy over the positive and a uniform sample that stands for the rest of the catalogue.

    `users` and `positives` (P, D), `negatives` (S, D) drawn uniformly from `catalogue` items; a
    negative that is the row's positive does not count, the others weigh (catalogue − 1) / their number.
    """
    same = positive_ids[:, None] == negative_ids[None, :]
    others = (~same).sum(dim=1, keepdim=True).clamp_min(1)
    logits = scale * users @ negatives.T + torch.log((catalogue - 1) / others)
    logits = logits.masked_fill(same, -torch.inf)
    right = (scale * (users * positives).sum(-1)).unsqueeze(1)
    log_sum = torch.logsumexp(torch.cat((right, logits), dim=1), dim=1)
    return (log_sum - right.squeeze(1)).mean()


def dense_all_action(
    users: Tensor, items: Tensor, item_ids: Tensor, user_real: Tensor, item_real: Tensor, scale: Tensor
) -> Tensor:
    """Every history position of a user against every target of the same user (PAPER: Training).

    `users` (B, Nh, D), `items` (B, Nt, D), `item_ids` (B, Nt), `user_real` (B, Nh) and `item_real`
    (B, Nt) bool. Negatives are the other users' targets; one that equals a target of the same user
    does not count. The mean is over all real (position, target) pairs.
    """
    batch, history, _ = users.shape
    targets = items.shape[1]
    scores = scale * users.flatten(0, 1) @ items.flatten(0, 1).T
    scores = scores.view(batch, history, batch, targets)
    own = torch.arange(batch, device=users.device)
    positive = scores[own, :, own, :]
    negative_log_sum = torch.logsumexp(
        scores.masked_fill(~_negatives(item_ids, item_real)[:, None], -math.inf).flatten(2), dim=-1
    )
    losses = F.softplus(negative_log_sum.unsqueeze(-1) - positive)
    pairs = user_real.unsqueeze(-1) & item_real.unsqueeze(1)
    return losses[pairs].mean()


def _negatives(item_ids: Tensor, item_real: Tensor) -> Tensor:
    """(B, B, Nt) bool: may target (z, k) be a negative of user i?"""
    batch = item_ids.shape[0]
    equal = item_ids[:, :, None, None] == item_ids[None, None, :, :]
    clash = (equal & item_real[:, :, None, None]).any(dim=1)
    other = ~torch.eye(batch, dtype=torch.bool, device=item_ids.device)
    return other.unsqueeze(-1) & item_real.unsqueeze(0) & ~clash
