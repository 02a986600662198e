"""A causal transformer over item vectors with a softmax over all seen items.

What goes in decides what it is: a table of item ids makes SASRec (Kang & McAuley, ICDM 2018) with the full
softmax of Klenitskiy & Vasilev (RecSys 2023), an adaptor of frozen text vectors makes a model like UniSRec
(Hou et al., KDD 2022). PyTorch's own encoder layers; every position predicts the next item.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DIMENSION = 64
MAX_LENGTH = 50


@dataclass(frozen=True)
class TransformerParameters:
    """`epochs` is the length of the cosine schedule, `stop` how many of them are trained.

    normalised  cosines over `temperature` instead of dot products plus an item bias
    """

    layers: int = 2
    heads: int = 2
    dropout: float = 0.2
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    normalised: bool = True
    temperature: float = 0.07
    epochs: int = 12
    stop: int = 12


class Transformer(nn.Module):
    """`items` is a module that returns the vectors of all items, (n, DIMENSION)."""

    def __init__(self, items: nn.Module, n_items: int, settings: TransformerParameters) -> None:
        super().__init__()
        self.settings = settings
        self.items = items
        self.bias = nn.Parameter(torch.zeros(n_items), requires_grad=not settings.normalised)
        self.positions = nn.Embedding(MAX_LENGTH, DIMENSION)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.input_norm = nn.LayerNorm(DIMENSION)
        self.dropout = nn.Dropout(settings.dropout)
        layer = nn.TransformerEncoderLayer(
            DIMENSION,
            settings.heads,
            dim_feedforward=2 * DIMENSION,
            dropout=settings.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(
            layer, settings.layers, norm=nn.LayerNorm(DIMENSION), enable_nested_tensor=False
        )

    def table(self) -> Tensor:
        """(n, DIMENSION), of length 1 if normalised."""
        vectors: Tensor = self.items()
        return F.normalize(vectors, dim=-1) if self.settings.normalised else vectors

    def users(self, table: Tensor, history: Tensor) -> Tensor:
        """(B, L) positions of items, padded on the right, to (B, L, DIMENSION)."""
        length = history.shape[1]
        x = F.embedding(history, table) * math.sqrt(DIMENSION)
        x = self.dropout(self.input_norm(x + self.positions.weight[:length]))
        causal = nn.Transformer.generate_square_subsequent_mask(length, device=x.device)
        x = self.encoder(x, mask=causal, is_causal=True)
        return F.normalize(x, dim=-1) if self.settings.normalised else x

    def logits(self, users: Tensor, table: Tensor, items: Tensor | slice = slice(None)) -> Tensor:
        """(P, DIMENSION) to (P, n); `items` are those of `table` if it is not whole."""
        scores = users @ table.T
        if self.settings.normalised:
            return scores / self.settings.temperature
        return scores + self.bias[items]
