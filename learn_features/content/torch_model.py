"""A frozen Hugging Face model in torch: token ids of texts → one pooled vector a text.

Texts of a batch lie one behind the other in a single row, without padding (`attention`), wherever a probe
at loading shows that the model computes the same that way; other models get padded batches and a mask.
"""

import inspect
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoModel
from transformers.utils import logging as transformers_logging

from learn_features.config import EncoderConfig
from learn_features.content import attention, precision
from learn_features.content.batches import halves
from learn_features.content.folded_bert import FoldedBert
from learn_features.content.sources import ModelSource
from learn_features.contracts.manifest import EncoderSpec
from learn_features.errors import ConfigError, DataError

_log = logging.getLogger(__name__)

TOKENS_PER_BATCH = {"cpu": 1_024, "cuda": 32_768}
"""On a CPU as many as keep activations in its caches (measured: 512 to 1,024, benchmarks/RESULTS.md)."""
BYTES_A_WORKER = 2**29
"""A model below this is run by one thread a core, each on its own batch; a larger one by all on one."""
_PROBE_LENGTHS = (7, 5, 5, 2, 1)
_SAME = {torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.01}
"""Relative distance of last hidden states up to which packed counts as the same as one text at a time."""

Ids = NDArray[np.int32]
"""Token ids of one text, at least one."""
Pending = Callable[[], NDArray[np.floating]]
"""Waits for a batch and gives its vectors (n, C): fp32 on a CPU, fp16 from a GPU."""


class TorchModel:
    """`begin` takes a batch of texts; with several `workers`, each may do so at the same time."""

    def __init__(self, model: torch.nn.Module, spec: EncoderSpec) -> None:
        self.module = model.eval().requires_grad_(False)
        self.spec = spec
        self.device = next(model.parameters()).device
        self.budget = TOKENS_PER_BATCH[self.device.type]
        self.workers = self._workers()
        self._takes = set(inspect.signature(model.forward).parameters)
        self._folded: FoldedBert | None = None
        self._first_position = self._packed_from()
        if self.device.type == "cuda":
            _compile_layers(model)

    @property
    def padded(self) -> bool:
        """Whether batches are padded, since the model cannot be run packed."""
        return self._first_position is None

    def enter_worker(self) -> None:
        """Called once in every thread that works beside others."""
        torch.set_num_threads(max(1, _cores() // self.workers))

    def begin(self, texts: Sequence[Ids]) -> Pending:
        """Start computing the vectors of `texts`.

        Out of memory, it halves the token budget, for later batches too, and goes on; `DataError` if one
        text alone does not fit.
        """
        try:
            return self._launch(texts)
        except torch.OutOfMemoryError:
            pass  # handled below, when the failed batch's tensors are no longer referred to
        except RuntimeError as error:
            if "DefaultCPUAllocator" not in str(error):
                raise
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(texts) == 1:
            raise DataError(
                f"encoder {self.spec.model}: out of memory on {self.device} with a single text of "
                f"{len(texts[0])} tokens; lower encoder.max_tokens, or free memory or use a larger device"
            )
        lengths = np.array([len(text) for text in texts])
        self.budget = min(self.budget, max(1, int(lengths.sum()) // 2))
        _log.warning("out of memory on %s: going on with %d tokens a batch", self.device, self.budget)
        cut = halves(lengths)
        first, second = self.begin(texts[:cut]), self.begin(texts[cut:])
        return lambda: np.concatenate([first(), second()])

    @torch.inference_mode()
    def _launch(self, texts: Sequence[Ids]) -> Pending:
        lengths = np.array([len(text) for text in texts])
        hidden = self._padded(texts, lengths) if self.padded else self._packed(texts, lengths)
        pooled = self._pooled(hidden, lengths)
        if self.device.type == "cpu":
            vectors: NDArray[np.float32] = pooled.numpy()
            return lambda: vectors
        kept = torch.empty(pooled.shape, dtype=torch.float16, pin_memory=True)
        kept.copy_(pooled.half(), non_blocking=True)
        done = torch.cuda.Event()
        done.record()

        def wait() -> NDArray[np.float16]:
            done.synchronize()
            rounded: NDArray[np.float16] = kept.numpy()
            return rounded

        return wait

    def _packed(self, texts: Sequence[Ids], lengths: NDArray[np.int64]) -> torch.Tensor:
        """Hidden states of all tokens (T, C)."""
        assert self._first_position is not None
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        positions = np.arange(lengths.sum()) - np.repeat(starts, lengths) + self._first_position
        ids = self._moved(np.concatenate(texts).astype(np.int64)).unsqueeze(0)
        inputs = {"input_ids": ids, "position_ids": self._moved(positions).unsqueeze(0)}
        with attention.texts_of_lengths(lengths, self.device):
            return self._folded(**self._named(inputs)) if self._folded else self._forward(inputs)[0]

    def _padded(self, texts: Sequence[Ids], lengths: NDArray[np.int64]) -> torch.Tensor:
        """Hidden states of the real tokens (T, C), from a batch padded on the right."""
        ids = np.zeros((len(texts), lengths.max()), dtype=np.int64)  # what stands in padding is masked
        real = np.arange(ids.shape[1]) < lengths[:, None]
        ids[real] = np.concatenate(texts)
        mask = self._moved(real)
        hidden = self._forward({"input_ids": self._moved(ids), "attention_mask": mask.long()})
        return hidden[mask]

    def _forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        hidden: torch.Tensor = self.module(**self._named(inputs)).last_hidden_state
        return hidden

    def _named(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """With what else the model asks for."""
        if "token_type_ids" in self._takes:
            inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
        return inputs

    def _pooled(self, hidden: torch.Tensor, lengths: NDArray[np.int64]) -> torch.Tensor:
        """(n, C) fp32, whatever the precision: `hidden` (T, C) of texts of `lengths` (n,)."""
        if self.spec.pooling == "mean":
            pooled = torch.segment_reduce(hidden.float(), "mean", lengths=self._moved(lengths))
        else:
            ends = np.cumsum(lengths)
            pooled = hidden[self._moved(ends - 1 if self.spec.pooling == "last" else ends - lengths)].float()
        return torch.nn.functional.normalize(pooled, dim=-1) if self.spec.normalize else pooled

    def _moved(self, array: NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _workers(self) -> int:
        if self.device.type != "cpu":
            return 1
        size = sum(weight.numel() * weight.element_size() for weight in self.module.parameters())
        return _cores() if size < BYTES_A_WORKER else 1

    @torch.inference_mode()
    def _packed_from(self) -> int | None:
        """The first position id with which packed texts are as each alone; None: they never are."""
        switch = getattr(self.module, "set_attn_implementation", None)
        settings = getattr(self.module, "config", None)
        if switch is None or settings is None or "position_ids" not in self._takes:
            return None
        plain = settings._attn_implementation
        longest = getattr(settings, "max_position_embeddings", None) or 0
        vocabulary = int(getattr(settings, "vocab_size", 2))
        lengths = np.array(_PROBE_LENGTHS * (1 + (longest // sum(_PROBE_LENGTHS) if longest <= 1024 else 0)))
        drawn = np.random.default_rng(0).integers(0, vocabulary, (len(_PROBE_LENGTHS), max(lengths)))
        texts = [drawn[row % len(drawn)][:n].astype(np.int32) for row, n in enumerate(lengths)]
        alone = [
            self._forward({"input_ids": self._moved(text[None].astype(np.int64))})[0]
            for text in texts[: len(drawn)]
        ]
        expected = torch.cat([alone[row % len(drawn)] for row in range(len(texts))]).float()
        padding = getattr(settings, "pad_token_id", None)

        def same(found: torch.Tensor) -> bool:
            distance = (found.float() - expected).norm(dim=-1) / expected.norm(dim=-1).clamp(min=1e-6)
            return bool((distance < _SAME[self.module.dtype]).all())

        try:
            switch(attention.PACKED)
            for first in dict.fromkeys((0, (padding or 0) + 1)):
                self._first_position = first
                if same(self._packed(texts, lengths)):
                    if FoldedBert.fits(self.module):
                        self._folded = FoldedBert(self.module)
                        self._folded = self._folded if same(self._packed(texts, lengths)) else None
                    return first
        except (attention.NotPackable, TypeError, ValueError, RuntimeError, IndexError, KeyError) as error:
            _log.debug("%s is run padded: %s", type(self.module).__name__, error)
        switch(plain)
        _log.info("%s is run in padded batches", type(self.module).__name__)
        return None


def load(config: EncoderConfig, source: ModelSource, spec: EncoderSpec, device: str) -> TorchModel:
    """Read the weights (safetensors only) onto `device`; `ConfigError` where that cannot be done."""
    if device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(_cores())
    transformers_logging.disable_progress_bar()  # loading takes a second; ours shows the texts
    try:
        model = AutoModel.from_pretrained(
            source.folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=config.trust_remote_code,
            dtype=precision.DTYPES[spec.precision],
            attn_implementation="sdpa",
        )
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise ConfigError(
            f"encoder.model {config.model}: transformers cannot load {source.folder} as a text encoder: "
            f"{error}"
        ) from None
    if getattr(model.config, "use_cache", False):
        model.config.use_cache = False  # keys and values of every layer, for nothing
    return TorchModel(model.to(device), spec)


def _cores() -> int:
    """Threads that work may take: `OMP_NUM_THREADS` where it is set."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return int(limit) if limit.isdigit() and int(limit) > 0 else len(os.sched_getaffinity(0))


def _compile_layers(model: torch.nn.Module) -> None:
    """Compile the repeated layer once: fused norms, activations and rotations."""
    stacks = [child for child in model.modules() if isinstance(child, torch.nn.ModuleList)]
    for layer in max(stacks, key=len, default=()):
        layer.compile(dynamic=True)
