"""Floating-point work of a text encoder over real tokens, and what a machine can do."""

import time

import numpy as np
import torch
from numpy.typing import NDArray

SIDE = 1_024
"""Side of the square matrices, 4 MiB each in fp32."""
PEAKS = {"H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "H200": 989e12, "A100": 312e12}
"""bf16 FLOP/s without sparsity, by the first that is a part of the device's name; others are measured."""


def model_flops(module: torch.nn.Module, lengths: NDArray[np.int64], *, causal: bool = False) -> float:
    """Of a forward pass over texts of `lengths` (n,): two a weight of every linear map and token, and
    QKᵀ and AV of every layer; a causal token sees half of its text."""
    config = module.config
    weights = sum(m.weight.numel() for m in module.modules() if isinstance(m, torch.nn.Linear))
    pooler = getattr(module, "pooler", None)
    if pooler is not None:  # not over tokens, and not used
        weights -= sum(m.weight.numel() for m in pooler.modules() if isinstance(m, torch.nn.Linear))
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    seen = (lengths * (lengths + 1) / 2 if causal else lengths.astype(float) ** 2).sum()
    return float(2.0 * weights * lengths.sum() + config.num_hidden_layers * 4 * width * seen)


class GemmPeak:
    """FLOP/s of `torch.mm` on squares, with the threads that torch has."""

    def __init__(self, dtype: torch.dtype = torch.float32, device: str = "cpu", side: int = SIDE) -> None:
        self._a, self._b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        self._work = 2.0 * side**3
        torch.mm(self._a, self._b)

    def __call__(self, seconds: float = 1.0) -> float:
        """The sustained rate over `seconds`: as much of the machine's time as an encoder gets beside it."""
        count, started = 0, time.perf_counter()
        while (taken := time.perf_counter() - started) < seconds:
            torch.mm(self._a, self._b)
            if self._a.is_cuda:
                torch.cuda.synchronize()
            count += 1
        return count * self._work / taken


def bf16_peak() -> float:
    """FLOP/s of the GPU, as its maker states or as matrix products reach."""
    name = torch.cuda.get_device_name()
    stated = next((rate for part, rate in PEAKS.items() if part in name), None)
    return stated or GemmPeak(torch.bfloat16, "cuda", 8_192)(2.0)
