"""A 7 B-shaped decoder with random weights in bf16 on a GPU: share of the bf16 peak over real tokens."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.flops import bf16_peak, model_flops
from learn_features.content.encoder import Encoder
from learn_features.content.templates import Cutter
from learn_features.content.tokens import TextTokenizer
from learn_features.content.torch_model import TorchModel
from learn_features.contracts.manifest import EncoderSpec

ROUNDS = 3


def gpu_mfu(texts: Sequence[str], tokenizer: Path, cut: Cutter) -> dict[str, float]:
    """Median over rounds; tokenising included, as the engine does it."""
    from transformers import LlamaConfig, LlamaModel

    shape = LlamaConfig(
        vocab_size=32_000,
        hidden_size=4_096,
        intermediate_size=11_008,
        num_hidden_layers=32,
        num_attention_heads=32,
        max_position_embeddings=4_096,
        use_cache=False,
    )
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        try:
            module = LlamaModel._from_config(shape, attn_implementation="sdpa", dtype=torch.bfloat16)
        finally:
            torch.set_default_dtype(torch.float32)
    spec = EncoderSpec(
        model="random/7b", revision="0", template="{title}", precision="bf16", dimension=shape.hidden_size
    )
    encoder = Encoder(spec, TorchModel(module, spec), TextTokenizer(tokenizer, spec.max_tokens), cut)
    encoder.extract(texts)  # compiled for the lengths that come
    work = model_flops(module, encoder.tokenizer(texts).lengths, causal=True)
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        encoder.extract(texts)
        seconds.append(time.perf_counter() - started)
    peak = bf16_peak()
    rate = work / statistics.median(seconds)
    return {"mfu": rate / peak, "model_flops_per_second": rate, "peak_flops_per_second": peak}
