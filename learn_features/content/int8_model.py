"""The frozen model with 8-bit weights and activations, in ONNX Runtime on a CPU, one text at a time.

Scales of activations are of a whole tensor, so with other texts in it a vector would change: each text is
run alone, which also leaves nothing to pad. Weights take 7 bits (`reduce_range`), since without VNNI
instructions 8 would overflow: so an `int8` vector is the same on every CPU.

The graph is exported once from the safetensors and kept in the cache folder under the encoder's id and the
versions that made it; it is no part of the encoder's identity.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn_features.config import EncoderConfig, cache_folder
from learn_features.content.sources import ModelSource
from learn_features.contracts.manifest import EncoderSpec
from learn_features.durable import sync
from learn_features.errors import ConfigError

_log = logging.getLogger(__name__)

MAX_BYTES = 1_900_000_000
"""A graph with its fp32 weights is one protobuf, of 2 GiB at most."""
_SAME = 1e-3
"""Relative distance up to which the exported fp32 graph counts as the model."""
_MADE_BY = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime-gpu", "onnxruntime")
_LENGTHS = (1, 2, 19, 64)
"""Lengths of texts that the graph is checked with; it is exported with another."""


class Int8Model:
    """A session whose threads each run their own text; `begin` may be called by all of them."""

    padded: bool = False
    budget = 1
    """One text is a batch."""

    def __init__(self, graph: Path) -> None:
        self._session = session(graph)
        self.workers = _cores()

    def enter_worker(self) -> None:
        pass

    def begin(self, texts: Sequence[NDArray[np.int32]]) -> Callable[[], NDArray[np.floating]]:
        """The vectors (n, C) of `texts`."""
        vectors = np.concatenate(
            [self._session.run(None, {"ids": text[None].astype(np.int64)})[0] for text in texts]
        )
        return lambda: vectors


def load(config: EncoderConfig, source: ModelSource, spec: EncoderSpec) -> Int8Model:
    """Export and quantise the model where the cache has no graph of it, then open that."""
    made_by = {name: version(name) for name in _MADE_BY if _installed(name)}
    name = f"{spec.id}-{hashlib.sha256(repr(sorted(made_by.items())).encode()).hexdigest()[:12]}.onnx"
    graph = cache_folder() / "graphs" / name
    if not graph.exists():
        _log.info("exporting encoder %s to %s, once", spec.id, graph)
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)  # what exporters say of operators that no text encoder has
        try:
            _make(config, source, spec, graph)
        finally:
            logging.disable(before)
    return Int8Model(graph)


def session(graph: Path) -> Any:
    """An ONNX Runtime session of one thread a call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def export(config: EncoderConfig, source: ModelSource, spec: EncoderSpec, graph: Path) -> None:
    """Write the model with pooling, in fp32, as `graph`: `ids` (1, T) int64 → `vector` (1, C).

    Raises `ConfigError` if it cannot be exported, or computes something else than torch.
    """
    import torch

    from learn_features.content import torch_model

    model = torch_model.load(config, source, spec.model_copy(update={"precision": "fp32"}), "cpu")
    size = sum(weight.numel() * weight.element_size() for weight in model.module.parameters())
    if size > MAX_BYTES:
        raise ConfigError(
            f"encoder.precision int8: {config.model} has {size / 1e9:.1f} GB of weights, the most is "
            f"{MAX_BYTES / 1e9:.1f} GB; use bf16, or a GPU"
        )
    if not model.padded:
        model.module.set_attn_implementation("sdpa")
    rng = np.random.default_rng(0)
    vocabulary = int(model.module.config.vocab_size)
    ids = torch.from_numpy(rng.integers(0, vocabulary, (1, 37)))
    try:
        program = torch.onnx.export(
            _OneText(model.module, spec).eval(),
            (ids,),
            dynamo=True,
            dynamic_shapes={"ids": {1: torch.export.Dim("tokens", min=1, max=spec.max_tokens)}},
            input_names=["ids"],
            output_names=["vector"],
            opset_version=20,
            external_data=False,
            verbose=False,
        )
        program.save(str(graph))
    except Exception as error:  # whatever stops an export, the answer is another precision
        raise ConfigError(
            f"encoder.precision int8: {config.model} cannot be exported to ONNX: {error}; use fp32 or bf16"
        ) from error
    exported = session(graph)
    wrapped = _OneText(model.module, spec)
    for length in (n for n in _LENGTHS if n <= spec.max_tokens):
        text = rng.integers(0, vocabulary, (1, length))
        with torch.inference_mode():
            expected = wrapped(torch.from_numpy(text)).numpy()
        distance = np.linalg.norm(exported.run(None, {"ids": text})[0] - expected) / np.linalg.norm(expected)
        if not distance < _SAME:
            raise ConfigError(
                f"encoder.precision int8: the ONNX graph of {config.model} differs from torch by "
                f"{distance:.1e} on a text of {length} tokens; use fp32 or bf16"
            )


def _make(config: EncoderConfig, source: ModelSource, spec: EncoderSpec, graph: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=graph.parent) as folder:
        plain, small = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        export(config, source, spec, plain)
        quantize_dynamic(
            plain,
            small,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        sync(small)
        small.replace(graph)
    sync(graph.parent)


def _OneText(model: Any, spec: EncoderSpec) -> Any:
    import torch

    class OneText(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            hidden = self.model(input_ids=ids).last_hidden_state
            pooled = {"mean": hidden.mean(dim=1), "last": hidden[:, -1], "cls": hidden[:, 0]}[spec.pooling]
            return torch.nn.functional.normalize(pooled, dim=-1) if spec.normalize else pooled

    return OneText()


def _installed(name: str) -> bool:
    from importlib.metadata import PackageNotFoundError

    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _cores() -> int:
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return int(limit) if limit.isdigit() and int(limit) > 0 else len(os.sched_getaffinity(0))
