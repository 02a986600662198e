"""Time since the previous history entry as an input of the user tower."""

import torch
from torch import Tensor, nn

EDGES = 32
"""Buckets end at 0, 1, 2, 4, … 2 ** 30 seconds; 34 years is for ever."""
INIT_SPREAD = 0.02


class TimeGaps(nn.Module):
    """A learned embedding for each doubling of the gap, and one for a history's first entry."""

    edges: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        doublings = 2.0 ** torch.arange(EDGES - 1)
        # counted, not computed by a logarithm: runtimes round that differently at powers of two
        self.register_buffer("edges", torch.cat((torch.zeros(1), doublings)))
        self.embedding = nn.Embedding(EDGES + 1, width)
        nn.init.normal_(self.embedding.weight, std=INIT_SPREAD)

    def bucket(self, gaps: Tensor) -> Tensor:
        """int64 like `gaps`: 0 for a first entry (below 0), 1 below a second, 2 below two, 3 below four …"""
        return (gaps.unsqueeze(-1) >= self.edges).sum(-1)

    def forward(self, gaps: Tensor) -> Tensor:
        """(B, L) float32 seconds, negative for a history's first entry, to (B, L, width)."""
        embedded: Tensor = self.embedding(self.bucket(gaps))
        return embedded
