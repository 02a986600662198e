"""The parts both towers are made of: content input, causal transformer, PAL."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from learn_features.towers.config import TowerConfig
from learn_features.towers.dropout import Dropout, dropout

MIN_VARIANCE = 1e-6
"""Axes of content with a smaller share of the largest variance are noise, and do not start the adaptor."""
START_SHARE = 0.1
"""Of their usual start, what transformer blocks add to content where training starts from it."""
LAST_LINEAR = 3
"""Place of the second linear map in a block's feed-forward."""
SHORT = 64
"""Sequences of so many entries are one tile of a GPU's memory-efficient attention, which takes two thirds of
the time of the one that torch would choose; longer ones are several, and it takes more."""
OF_SHORT = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""The second, for what the first cannot take."""


class ContentInput(nn.Module):
    """Centres and scales content vectors by the training catalogue's statistics, then drops out.

    Encoders differ in offset and magnitude (some have a few huge dimensions); learning rates do not.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(config.content_dimension))
        self.register_buffer("scale", torch.ones(()))
        self.dropout = Dropout(config.content_dropout)

    @torch.no_grad()
    def fit(self, content: Tensor) -> None:
        """Take the statistics of `content` (n, C)."""
        self.mean.copy_(content.float().mean(0))
        spread = (content.float() - self.mean).pow(2).mean().sqrt()
        self.scale.copy_(spread.clamp_min(1e-6))

    def forward(self, content: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        scaled: Tensor = self.dropout((content - self.mean) / self.scale)
        return scaled


class Norm(nn.LayerNorm):
    """Layer norm that stays in the precision of what comes in.

    Autocast would take bf16 to float32 and back, for five times the memory traffic; the kernel sums in
    float32 as it is.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == self.weight.dtype:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return F.layer_norm(
                x, self.normalized_shape, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps
            )


class Block(nn.Module):
    """One pre-norm transformer layer with causal attention."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.dropout = config.dropout
        self.attention_norm = Norm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.feedforward = nn.Sequential(
            Norm(config.width),
            nn.Linear(config.width, config.feedforward),
            nn.GELU(),
            nn.Linear(config.feedforward, config.width),
        )

    def forward(
        self,
        x: Tensor,
        alone: bool = False,
        shapes: Sequence[tuple[int, int]] = (),
        bits: Sequence[Tensor | None] = (None, None),
    ) -> Tensor:
        """(B, L, width) to (B, L, width); position i sees positions ≤ i. `alone`: L is 1.

        With `shapes`, pairs of B and L, sequences of several lengths go together: (sum of B · L, width),
        those of the first shape first, and `alone` says nothing. Only attention is then asked a shape at a
        time. `bits`: what decides on the two dropouts, each of the shape of `x`; None: they draw.
        """
        qkv = self.qkv(self.attention_norm(x))
        if shapes:
            parts = qkv.split([rows * length for rows, length in shapes])
            attended = torch.cat(
                [
                    self._attended(part.unflatten(0, shape), shape[1] == 1).flatten(0, 1)
                    for part, shape in zip(parts, shapes, strict=True)
                ]
            )
        else:
            attended = self._attended(qkv, alone)
        x = x + dropout(self.out(attended), self.dropout, self.training, bits[0])
        return x + dropout(self.feedforward(x), self.dropout, self.training, bits[1])

    def _attended(self, qkv: Tensor, alone: bool) -> Tensor:
        """Causal self-attention, (B, L, 3 width) to (B, L, width)."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        # no dropout on attention weights: it would rule out the fused CPU kernel
        short = q.device.type == "cuda" and q.shape[2] <= SHORT
        with sdpa_kernel(OF_SHORT) if short else nullcontext():
            attended = v if alone else F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return attended.transpose(1, 2).flatten(2)


class PreferenceAlignment(nn.Module):
    """PAL: content adaptor, causal transformer, projection to D (PAPER: Model). Not normalised yet."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.adaptor = nn.Linear(config.content_dimension, config.width)
        self.positions = (
            nn.Embedding(config.max_length, config.width) if config.positions == "learned" else None
        )
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = Norm(config.width)
        self.projection = nn.Linear(config.width, config.dimension)
        self.through: Callable[..., Tensor] = all_layers
        """What training runs, `all_layers` or the same compiled."""

    @torch.no_grad()
    def start_from(self, content: Tensor, *, back: bool = False) -> None:
        """Let training begin near the geometry of `content` (n, C), which is as `forward` will get it.

        The adaptor becomes the principal axes, each divided by the square root of its spread so that the
        few largest do not drown the rest; the blocks add little; the projection takes the first D axes or,
        `back`, leads from all of them back to content (D = C). From random weights the towers first lose
        what cosines of content know, and small data do not teach it again.
        """
        variances, axes = torch.linalg.eigh(content.double().T @ content.double() / len(content))
        variances, axes = variances.flip(0), axes.flip(1)
        count = min(self.adaptor.out_features, int((variances > MIN_VARIANCE * variances[0]).sum()))
        axes = axes[:, :count] * variances[:count] ** -0.25
        unit = variances[:count].sqrt().sum().div(count).sqrt()  # root mean square of what comes out
        self.adaptor.weight[:count] = (axes / unit).T.to(self.adaptor.weight)
        self.adaptor.bias.zero_()
        if back:
            inverse = torch.linalg.pinv(self.adaptor.weight[:count].double())
            self.projection.weight.zero_()[:, :count] = inverse.to(self.projection.weight)
        else:
            nn.init.eye_(self.projection.weight)
        self.projection.bias.zero_()
        for block in self.blocks:
            for last in (block.out, block.feedforward[LAST_LINEAR]):
                last.weight.mul_(START_SHARE)
                last.bias.zero_()

    def forward(self, content: Tensor, beside: Tensor | None = None, *, alone: bool = False) -> Tensor:
        """(B, L, C) to (B, L, D): at each position, what the content up to it says.

        `beside` (B, L, width): what else is known of each entry, added to its adapted content. `alone`: L
        is 1, and each entry's attention is on itself, which needs no kernel (CUDA's take 65,535 rows at
        most).
        """
        return self._layers(self.entries(content, beside), alone, ())

    def entries(self, content: Tensor, beside: Tensor | None = None) -> Tensor:
        """What the transformer reads, (B, L, C) to (B, L, width)."""
        x: Tensor = self.adaptor(content)
        if beside is not None:
            x = x + beside.to(x.dtype)  # under autocast an embedding would make all that follows float32
        if self.positions is not None:
            place = torch.arange(content.shape[1], device=content.device)
            x = x + self.positions(place.clamp_max(self.positions.num_embeddings - 1)).to(x.dtype)
        return x

    def packed(self, groups: Sequence[Tensor]) -> list[Tensor]:
        """What `forward` makes of the `entries` (B, L, width) of each group, (B, L, D); lengths differ.

        All go through the transformer in one pass: fewer and larger calls than group by group.
        """
        shapes = [(group.shape[0], group.shape[1]) for group in groups]
        entries = torch.cat([group.flatten(0, 1) for group in groups])
        parts = self._layers(entries, False, shapes).split([rows * length for rows, length in shapes])
        return [part.unflatten(0, shape) for part, shape in zip(parts, shapes, strict=True)]

    def _layers(self, x: Tensor, alone: bool, shapes: Sequence[tuple[int, int]]) -> Tensor:
        return (self.through if self.training else all_layers)(self, x, alone, shapes)


def all_layers(
    alignment: PreferenceAlignment,
    x: Tensor,
    alone: bool,
    shapes: Sequence[tuple[int, int]],
    bits: Sequence[Tensor] = (),
) -> Tensor:
    """All blocks and the projection, (..., width) to (..., D); `alone` and `shapes` as in `Block`, `bits`
    two of every block, if any."""
    for number, block in enumerate(alignment.blocks):
        x = block(x, alone, shapes, bits[2 * number : 2 * number + 2] or (None, None))
    projected: Tensor = alignment.projection(alignment.norm(x))
    return projected
