"""Dropout. On a CPU, torch draws its masks one entry after the other, which took a fifth of a training."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS = 2**16
"""A share is met to one part in so many: 16 random bits decide on an entry."""


class Dropout(nn.Module):
    """`dropout` with a share of its own."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.share, self.training)


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """In training, a `share` of the entries of `x` zero, drawn anew, and the others so much larger."""
    if x.device.type != "cpu" or not training:
        return F.dropout(x, share, training)
    dropped = min(round(share * STEPS), STEPS - 1)
    if not dropped:
        return x
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    drawn = words.view(torch.int16)[: x.numel()].view(x.shape)
    kept = (drawn >= dropped - STEPS // 2).to(x.dtype).mul_(STEPS / (STEPS - dropped))
    return x * kept
