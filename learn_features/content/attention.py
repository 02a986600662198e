"""Attention over texts that lie one behind the other in a single row, each seeing itself alone: no padding.

Registered with transformers as `packed`; which tokens belong together is said by `texts_of_lengths`.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

PACKED = "packed"
"""Name of this attention among those of transformers."""

_LEFT_OUT = ("softcap", "s_aux", "position_bias", "head_mask")
"""Arguments of attentions that this one does not do; a model that gives one is run padded."""


class NotPackable(Exception):
    """The model's attention is not plain softmax over whole texts."""


class _Group(NamedTuple):
    start: int
    texts: int
    length: int


class _Layout(NamedTuple):
    groups: list[_Group]
    """Runs of texts of one length: one call of SDPA each."""
    bounds: torch.Tensor | None
    """(n + 1,) int32 on a GPU: one call of the variable-length kernel."""
    longest: int


_layout = threading.local()


@contextlib.contextmanager
def texts_of_lengths(lengths: NDArray[np.int64], device: torch.device) -> Iterator[None]:
    """Within it, the calling thread's packed attention is over texts of `lengths` (n,), in this order."""
    changes = np.flatnonzero(np.diff(lengths)) + 1
    firsts = np.concatenate([[0], changes])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    counts = np.diff(np.append(firsts, len(lengths)))
    groups = [
        _Group(int(starts[first]), int(count), int(lengths[first]))
        for first, count in zip(firsts, counts, strict=True)
    ]
    bounds = None
    if device.type == "cuda":
        bounds = torch.from_numpy(starts.astype(np.int32)).pin_memory().to(device, non_blocking=True)
    _layout.value = _Layout(groups, bounds, int(lengths.max()))
    try:
        yield
    finally:
        _layout.value = None


@torch.compiler.disable
def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of `query` (1, heads, T, d), `key` and `value` (1, key heads, T, d) → (1, T, heads, d)."""
    layout: _Layout = _layout.value
    left_out = [name for name in _LEFT_OUT if others.get(name) is not None]
    window = others.get("sliding_window")
    if attention_mask is not None or left_out or (window is not None and window < layout.longest):
        raise NotPackable(f"{type(module).__name__} gives its attention {left_out or 'a mask or a window'}")
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    if layout.bounds is not None and query.dtype in (torch.float16, torch.bfloat16):
        return _variable_length(query, key, value, layout, scaling, causal).unsqueeze(0), None
    heads, tokens = query.shape[1:3]
    if key.shape[1] != heads:
        key = key.repeat_interleave(heads // key.shape[1], dim=1)
        value = value.repeat_interleave(heads // value.shape[1], dim=1)
    out = query.new_empty(tokens, heads, value.shape[-1])
    for start, texts, length in layout.groups:
        stop = start + texts * length
        q, k, v = (
            part[0, :, start:stop].unflatten(1, (texts, length)).transpose(0, 1)
            for part in (query, key, value)
        )
        seen = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, scale=scaling, is_causal=causal and length > 1
        )
        out[start:stop].unflatten(0, (texts, length)).copy_(seen.transpose(1, 2))
    return out.unsqueeze(0), None


def _variable_length(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: _Layout,
    scaling: float | None,
    causal: bool,
) -> torch.Tensor:
    """Flash attention over all texts in one call: (T, heads, d)."""
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (part[0].transpose(0, 1).contiguous() for part in (query, key, value))
    seen: torch.Tensor = varlen_attn(
        q,
        k,
        v,
        layout.bounds,
        layout.bounds,
        layout.longest,
        layout.longest,
        scale=scaling,
        window_size=(-1, 0) if causal else (-1, -1),
        enable_gqa=key.shape[1] != query.shape[1],
    )
    return seen


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, lambda *_, **__: None)
