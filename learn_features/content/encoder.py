"""The frozen text encoder: last hidden layer, pooled over real tokens, rounded to fp16 once.

Batches are sorted by length and bounded by tokens, so that padding stays small; padding and the
composition of batches change a vector by rounding only.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from tokenizers import Encoding
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from learn_features.config import EncoderConfig
from learn_features.content import sources, templates, tokens
from learn_features.content.spec import encoder_spec
from learn_features.contracts.manifest import EncoderSpec
from learn_features.errors import ConfigError, DataError

Progress = Callable[[int, int], None]

TOKENS_PER_BATCH = {"cpu": 4_096, "cuda": 32_768}
_TEXTS_AT_ONCE = 4_096
_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

__all__ = ["Encoder", "Extraction", "encoder_spec", "open_encoder"]


class Extraction(NamedTuple):
    """Content vectors, and how many texts were longer than the encoder reads."""

    vectors: NDArray[np.float16]
    """(n, C)"""
    truncated: int


def open_encoder(config: EncoderConfig, device: str | None = None) -> "Encoder":
    """Load the encoder onto `device` (default: CUDA where there is one, else the CPU).

    Raises `ConfigError` where the model, its precision or its length cannot be run here.
    """
    source = sources.locate(config)
    spec = encoder_spec(config)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    _require_precision(config.precision, device)
    if device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    tokenizer = AutoTokenizer.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise ConfigError(f"{source.folder}: has no fast tokenizer (tokenizer.json)")
    transformers_logging.disable_progress_bar()  # loading takes a second; ours shows the texts
    model = AutoModel.from_pretrained(
        source.folder,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=_PRECISIONS[config.precision],
        attn_implementation="sdpa",
    )
    longest = source.settings.get("max_position_embeddings")
    if isinstance(longest, int) and config.max_tokens > longest:
        raise ConfigError(f"encoder.max_tokens is {config.max_tokens}, but {config.model} reads {longest}")
    return Encoder(spec, model.to(device).eval().requires_grad_(False), tokenizer, source.folder)


class Encoder:
    """A frozen encoder on one device; see `open_encoder`."""

    def __init__(
        self,
        spec: EncoderSpec,
        model: torch.nn.Module,
        tokenizer: PreTrainedTokenizerFast,
        folder: Path,
    ) -> None:
        self.spec = spec
        self._model = model
        self._device = next(model.parameters()).device
        self._cut = tokens.cutter_in(folder)
        self._tokenizer = tokenizer
        pad = tokenizer.pad_token_id
        self._pad_id = pad if pad is not None else (tokenizer.eos_token_id or 0)  # masked out anyway

    def item_texts(self, items: pl.DataFrame) -> list[str]:
        """The texts of `items` under this encoder's template (see `templates.item_texts`)."""
        return templates.item_texts(items, self.spec, self._cut)

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float16]:
        """Content vectors (n, C), in order. Raises `DataError` if a vector is not finite."""
        return self.extract(texts, progress).vectors

    def extract(self, texts: Sequence[str], progress: Progress | None = None) -> Extraction:
        """Like `encode`, with the number of texts cut at `max_tokens`."""
        vectors = np.empty((len(texts), self.spec.dimension), dtype=np.float16)
        truncated = 0
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            part = list(texts[start : start + _TEXTS_AT_ONCE])
            encodings = self._tokenizer(part, truncation=True, max_length=self.spec.max_tokens).encodings
            truncated += sum(bool(encoding.overflowing) for encoding in encodings)
            done = 0
            for rows in self._batches([len(encoding) for encoding in encodings]):
                vectors[start + rows] = self._rounded(
                    self._pooled([encodings[row] for row in rows]), part, rows
                )
                done += len(rows)
                if progress is not None:
                    progress(start + done, len(texts))
        return Extraction(vectors, truncated)

    def _batches(self, lengths: list[int]) -> list[NDArray[np.int64]]:
        """Rows, longest first, in batches of at most the device's tokens, padding counted."""
        order = np.argsort(-np.asarray(lengths), kind="stable")
        budget = TOKENS_PER_BATCH[self._device.type]
        batches, start = [], 0
        while start < len(order):
            count = max(1, budget // max(1, lengths[order[start]]))
            batches.append(order[start : start + count])
            start += count
        return batches

    @torch.inference_mode()
    def _pooled(self, encodings: list[Encoding]) -> NDArray[np.float32]:
        length = max(1, max(len(encoding) for encoding in encodings))
        ids = np.full((len(encodings), length), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(encodings), length), dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding)] = encoding.ids
            mask[row, : len(encoding)] = 1
        real = torch.from_numpy(mask).to(self._device)
        inputs = {"input_ids": torch.from_numpy(ids).to(self._device), "attention_mask": real}
        hidden = self._model(**inputs).last_hidden_state.float()  # pooling in fp32 whatever the precision
        if self.spec.pooling == "cls":
            pooled = hidden[:, 0]
        elif self.spec.pooling == "last":
            last = (real.sum(dim=1) - 1).clamp(min=0)
            pooled = hidden[torch.arange(len(encodings), device=self._device), last]
        else:
            weights = real.unsqueeze(-1).float()
            pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        if self.spec.normalize:
            pooled = torch.nn.functional.normalize(pooled, dim=-1)
        result: NDArray[np.float32] = pooled.cpu().numpy()
        return result

    def _rounded(
        self, pooled: NDArray[np.float32], texts: list[str], rows: NDArray[np.int64]
    ) -> NDArray[np.float16]:
        with np.errstate(over="ignore"):
            rounded = pooled.astype(np.float16)
        finite = np.isfinite(rounded).all(axis=1)
        if not finite.all():
            first = texts[int(rows[np.argmin(finite)])]
            raise DataError(
                f"encoder {self.spec.model}: {int((~finite).sum())} of {len(rows)} vectors are not finite in "
                f"fp16 at precision {self.spec.precision}, first for text {first[:120]!r}; use fp32, or "
                "normalize: true if values exceed 65504"
            )
        return rounded


def _require_precision(precision: str, device: str) -> None:
    if precision == "fp32":
        return
    if device.startswith("cuda"):
        able = precision == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # what a CPU only emulates is refused: precision is part of the space, and emulation is slow
        able = precision == "bf16" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if not able:
        raise ConfigError(
            f"encoder.precision is {precision}, which this {device} does not run natively; "
            "precision is part of the embedding space, so use fp32 or a machine that has it"
        )
