"""Layers of BERT-like encoders on a CPU with their biases folded, so that fewer passes go over activations.

Each layer adds a projection to what it was given, then normalises. A product that adds onto what lies there
costs nothing more, while a bias and a sum are a pass each over all tokens. So:

  - the bias of a projection that is added to its input is part of that input already: the norm before it
    has a larger offset, and what else reads the norm subtracts what came of that;
  - the bias of the keys is left out: it adds the same to all scores of a query, which softmax takes off.

Equal to the model up to rounding, which `torch_model` probes before it is used.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from learn_features.content.attention import packed_attention

_LAYERS = ("BertLayer", "RobertaLayer", "XLMRobertaLayer")


class _Linear(NamedTuple):
    """x @ weight + bias"""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


class _Norm(NamedTuple):
    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class _Layer(NamedTuple):
    attention: nn.Module
    heads: int
    query: _Linear
    key: Tensor
    value: _Linear
    attended: Tensor
    middle_norm: _Norm
    up: _Linear
    activation: nn.Module
    down: Tensor
    norm: _Norm


class FoldedBert:
    """`model` with packed texts; the weights are the model's own, the biases new."""

    def __init__(self, model: Any) -> None:
        self._embeddings = model.embeddings
        layers = list(model.encoder.layer)
        given = [layer.attention.output.dense.bias for layer in layers]
        self._first_given = given[0]
        last = torch.zeros_like(given[0])
        self._layers = [
            _folded(layer, own, after)
            for layer, own, after in zip(layers, given, [*given[1:], last], strict=True)
        ]

    @staticmethod
    def fits(model: Any) -> bool:
        """Whether all layers of `model` are of this kind, plain ones with biases, in fp32 on a CPU."""
        layers = getattr(getattr(model, "encoder", None), "layer", None)
        first = next(model.parameters())
        return (
            isinstance(layers, nn.ModuleList)
            and hasattr(model, "embeddings")
            and not getattr(model.config, "is_decoder", False)
            and all(
                type(layer).__name__ in _LAYERS and all(map(_is_plain, _linears(layer))) for layer in layers
            )
            and first.device.type == "cpu"
            and first.dtype == torch.float32
        )

    def __call__(self, **inputs: Tensor) -> Tensor:
        """Last hidden states (T, C) of texts that lie one behind the other, ids and positions (1, T)."""
        x = self._embeddings(**inputs)[0].add_(self._first_given)
        for layer in self._layers:
            query, key, value = (
                part.unflatten(1, (layer.heads, -1)).transpose(0, 1).unsqueeze(0)
                for part in (layer.query(x), x @ layer.key, layer.value(x))
            )
            attended, _ = packed_attention(layer.attention, query, key, value, None, is_causal=False)
            x = layer.middle_norm(x.addmm_(attended[0].flatten(1), layer.attended))
            x = layer.norm(x.addmm_(layer.activation(layer.up(x)), layer.down))
        return x


def _linears(layer: Any) -> tuple[Any, ...]:
    attention = layer.attention
    own = attention.self
    return own.query, own.key, own.value, attention.output.dense, layer.intermediate.dense, layer.output.dense


def _is_plain(linear: Any) -> bool:
    """Neither quantised nor adapted, and with a bias."""
    return type(linear) is nn.Linear and linear.bias is not None


def _folded(layer: Any, given: Tensor, after: Tensor) -> _Layer:
    """`layer` whose input has `given` in it, and whose output shall have `after`."""
    attention, up, down = layer.attention, layer.intermediate, layer.output
    own, attended = attention.self, attention.output
    return _Layer(
        own,
        own.num_attention_heads,
        query=_without(own.query, given),
        key=own.key.weight.T,
        value=_without(own.value, given),
        attended=attended.dense.weight.T,
        middle_norm=_with(attended.LayerNorm, down.dense.bias),
        up=_without(up.dense, down.dense.bias),
        activation=up.intermediate_act_fn,
        down=down.dense.weight.T,
        norm=_with(down.LayerNorm, after),
    )


def _without(linear: nn.Linear, given: Tensor) -> _Linear:
    """`linear` of its input less `given`."""
    return _Linear(linear.weight.T, linear.bias - linear.weight @ given)


def _with(norm: nn.LayerNorm, given: Tensor) -> _Norm:
    """`norm` plus `given`."""
    return _Norm(norm.weight, norm.bias + given, norm.eps)
