"""Dropout by random bits drawn a word at a time.

On a CPU, torch draws its masks one entry after the other, which took a fifth of a training; within a compiled
graph a GPU does, which took a twentieth.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """`dropout` with a share of its own."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.share, self.training)


def dropout(x: Tensor, share: float, training: bool, bits: Tensor | None = None) -> Tensor:
    """In training, a `share` of the entries of `x` zero, drawn anew, and the others so much larger.

    `bits`, from `random_bits`, of the shape of `x`: decide instead of a draw.
    """
    if not training:
        return x
    if bits is None:
        if x.device.type != "cpu":
            return F.dropout(x, share, training)
        if not share:
            return x
        bits = random_bits(x.shape, torch.int16, x.device)
    steps = 2 ** (8 * bits.element_size())
    dropped = min(round(share * steps), steps - 1)
    kept = (bits >= dropped - steps // 2).to(x.dtype).mul_(steps / (steps - dropped))
    return x * kept


def random_bits(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Integers of `dtype`, every one that it has equally likely. With n bits each, `dropout` meets a share
    to one part in 2 ** n."""
    count = torch.Size(shape).numel()
    words = torch.empty(-(-count * dtype.itemsize // 8), dtype=torch.int64, device=device)
    return words.random_(-(2**63), None).view(dtype)[:count].view(shape)
