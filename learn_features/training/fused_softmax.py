"""Softmax over a catalogue, a few rows at a time.

A table of all scores of a batch (positions × items) is larger than a processor's caches, and autograd keeps
and walks it several times. Here the gradient of a row is taken while its scores are at hand, and no more
than a chunk of the table ever exists.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

CHUNK_SCORES = {"cpu": 400_000, "cuda": 64_000_000}
"""Scores at a time: what a core's cache holds (1.6 MB), or what does not crowd a GPU's memory."""


class MeanCrossEntropy(Function):
    """`losses.full_softmax`, of float32 users (P, D) and items (M, D); the scale is in the users already."""

    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        items: Tensor,
        positives: Tensor,
        seen: Tensor | None,
        votes: Tensor | None,
        votes_share: float,
        log_weights: Tensor | None,
    ) -> Tensor:
        rows, count = len(users), len(items)
        step = max(1, CHUNK_SCORES.get(users.device.type, CHUNK_SCORES["cpu"]) // count)
        of_users, of_items = torch.empty_like(users), torch.zeros_like(items)
        total = users.new_zeros(())
        # one column more, for what `seen` does not name
        table = users.new_empty(min(step, rows), count + 1)
        for first in range(0, rows, step):
            chunk = slice(first, min(first + step, rows))
            positive = positives[chunk, None]
            scores = table[: chunk.stop - chunk.start]
            torch.mm(users[chunk], items.T, out=scores[:, :count])
            kept = scores.gather(1, positive)
            wanted, left = kept, 1.0
            if votes is not None and votes_share:
                taught = votes[chunk]
                left = 1 - votes_share * taught.sum(dim=1, keepdim=True)
                voted = (taught * scores[:, :count]).sum(dim=1, keepdim=True)
                wanted = left * kept + votes_share * voted
            if log_weights is not None:
                scores[:, :count].add_(log_weights)
            if seen is not None:
                scores.scatter_(1, seen[chunk], -torch.inf)
            shares = scores[:, :count].scatter_(1, positive, kept)
            peak = shares.amax(dim=1, keepdim=True)
            shares.sub_(peak).exp_()
            mass = shares.sum(dim=1, keepdim=True)
            total += (mass.log() + peak - wanted).sum()
            shares.div_(mass)
            if votes is not None and votes_share:
                shares.sub_(taught, alpha=votes_share)
            shares.scatter_add_(1, positive, torch.full_like(kept, -1.0) * left)
            torch.mm(shares, items, out=of_users[chunk])
            of_items.addmm_(shares.T, users[chunk])
        ctx.save_for_backward(of_users, of_items)
        ctx.rows = rows
        return total / rows

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        of_users, of_items = ctx.saved_tensors
        scale = gradient / ctx.rows
        return scale * of_users, scale * of_items, None, None, None, None, None
