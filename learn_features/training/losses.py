"""Losses over unit vectors; `scale` is 1 / temperature. All return a mean, in nats, and compute in float32:
the eight bits of bf16 are too few for a sum over a catalogue."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from learn_features.training.fused_softmax import MeanCrossEntropy


def full_softmax(
    users: Tensor,
    items: Tensor,
    positives: Tensor,
    scale: Tensor,
    *,
    seen: Tensor | None = None,
    votes: Tensor | None = None,
    votes_share: float = 0.0,
    log_weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy over the whole catalogue, or what stands for it, but for what was seen.

    `users` (P, D), `items` (M, D) one row an item, `positives` (P,) int64 rows of `items`.
    `seen` (P, L) int64, rows of `items` or M for none: no negatives of this position, as a ranking leaves
    them out, too; the positive itself stays. `votes` (P, M), rows that sum to 1, or to 0 where nobody
    votes: a teacher's distribution, which gets `votes_share` of the positive's weight. `log_weights` (M,):
    log of how many items of the catalogue each row stands for as a negative, −inf for none; a positive
    always stands for itself alone. None: the rows are the catalogue.
    """
    with full_precision(users):
        loss: Tensor = MeanCrossEntropy.apply(
            scale * users.float(), items.float(), positives, seen, votes, votes_share, log_weights
        )
        return loss


def dense_all_action(
    users: Tensor,
    owners: Tensor,
    items: Tensor,
    item_ids: Tensor,
    item_real: Tensor,
    positives: Tensor,
    positive_real: Tensor,
    left_out: Tensor,
    scale: Tensor,
    *,
    log_frequency: Tensor | None = None,
) -> Tensor:
    """Every history position of a user against every target of the same user (PAPER: Training).

    Of the positions of B users, `users` (P, D) and whose they are, `owners` (P,) int64 in 0 … B − 1. Of the
    targets of these and maybe of further users, `items` (Q, D), `item_ids` (Q,) and `item_real` (Q,) bool.
    `positives` (B, Nt) int64 are the columns of each user's targets, `positive_real` (B, Nt) which there
    are. Negatives are all targets but those whose id is among the user's `left_out` (B, M): the user's own
    targets at least. `log_frequency` (Q,): log of how often an item is a target, taken off its scores, as
    in-batch negatives are drawn by popularity (logQ correction, Yi et al. 2019,
    "Sampling-bias-corrected neural modeling"). The mean is over all real pairs, 0 if there are none.
    """
    # positions and targets come without padding: most users of a real log have few of either
    negatives = ~(left_out[:, :, None] == item_ids).any(dim=1) & item_real
    with full_precision(users):
        scores = scale * users.float() @ items.float().T
        if log_frequency is not None:
            scores = scores - log_frequency
        positive = scores.gather(1, positives[owners])
        negative = torch.logsumexp(scores.masked_fill(~negatives[owners], -math.inf), dim=1)
        losses = F.softplus(negative[:, None] - positive)
    pairs = positive_real[owners]
    return torch.where(pairs, losses, 0.0).sum() / pairs.sum().clamp_min(1)


def full_precision(tensor: Tensor) -> torch.autocast:
    """No autocast on the device of `tensor`."""
    return torch.autocast(tensor.device.type, enabled=False)
