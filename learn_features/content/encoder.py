"""The frozen text encoder: texts → content vectors, rounded to fp16 once.

Texts are tokenised ahead in a thread of its own while the model computes, in batches of like length that
are bounded by tokens. What else is in a batch changes a vector by rounding only.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learn_features.config import EncoderConfig
from learn_features.content import batches, sources, templates, tokens
from learn_features.content.ahead import ahead
from learn_features.content.spec import encoder_spec
from learn_features.content.tokens import TextTokenizer, Tokens
from learn_features.contracts.manifest import EncoderSpec
from learn_features.errors import ConfigError, DataError

Progress = Callable[[int, int], None]

TEXTS_AT_ONCE = 4_096
"""Texts that are tokenised, and sorted by length, together."""

__all__ = ["Encoder", "Extraction", "encoder_spec", "open_encoder"]


class FrozenModel(Protocol):
    """Token ids → pooled vectors: `torch_model.TorchModel`, `int8_model.Int8Model`."""

    workers: int
    """Threads that may call `begin` at the same time."""
    budget: int
    """Tokens of a batch; may sink while it works."""

    @property
    def padded(self) -> bool:
        """Whether a batch costs what its longest text does, times its texts."""

    def enter_worker(self) -> None: ...

    def begin(self, texts: Sequence[NDArray[np.int32]]) -> Callable[[], NDArray[np.floating]]: ...


@dataclass(frozen=True)
class Extraction:
    """Content vectors of n texts and what there is to say of them."""

    vectors: NDArray[np.float16]
    """(n, C), zeros where there is a problem."""
    truncated: NDArray[np.bool_]
    """(n,): longer than the encoder reads."""
    tokens: int
    """Tokens that were encoded."""
    problems: dict[int, str] = field(default_factory=dict)
    """Row → why there is no vector."""


def open_encoder(config: EncoderConfig, device: str | None = None) -> "Encoder":
    """Load the encoder onto `device` (default: CUDA where there is one, else the CPU; int8: the CPU).

    Raises `ConfigError` where the model, its precision or its length cannot be run here.
    """
    import torch

    from learn_features.content import precision

    source = sources.locate(config)
    spec = encoder_spec(config)
    on_cpu = config.precision == precision.INT8 or not torch.cuda.is_available()
    device = device or ("cpu" if on_cpu else "cuda")
    precision.require(config.precision, device)
    longest = source.settings.get("max_position_embeddings")
    if isinstance(longest, int) and config.max_tokens > longest:
        raise ConfigError(f"encoder.max_tokens is {config.max_tokens}, but {config.model} reads {longest}")
    model: FrozenModel
    if config.precision == precision.INT8:
        from learn_features.content import int8_model

        model = int8_model.load(config, source, spec)
    else:
        from learn_features.content import torch_model

        model = torch_model.load(config, source, spec, device)
    return Encoder(
        spec, model, TextTokenizer(source.folder, spec.max_tokens), tokens.cutter_in(source.folder)
    )


class Encoder:
    """A frozen encoder, warm; see `open_encoder`. One thread at a time."""

    def __init__(
        self, spec: EncoderSpec, model: FrozenModel, tokenizer: TextTokenizer, cut: templates.Cutter
    ) -> None:
        self.spec = spec
        self.model = model
        self.tokenizer = tokenizer
        self._cut = cut
        self._workers: ThreadPoolExecutor | None = None

    def item_texts(self, items: pl.DataFrame) -> list[str]:
        """The texts of `items` under this encoder's template (see `templates.item_texts`)."""
        return templates.item_texts(items, self.spec, self._cut)

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float16]:
        """Content vectors (n, C), in order. `DataError` if a text has none (see `extract`)."""
        extraction = self.extract(texts, progress)
        if extraction.problems:
            row, problem = next(iter(extraction.problems.items()))
            raise DataError(
                f"encoder {self.spec.model}: {len(extraction.problems)} of {len(texts)} texts have no "
                f"vector, first for text {texts[row][:120]!r}: {problem}"
            )
        return extraction.vectors

    def extract(self, texts: Sequence[str], progress: Progress | None = None) -> Extraction:
        """Like `encode`, but what has no vector is told of instead of raised: texts without a token, and
        vectors that are not finite in fp16."""
        parts = [texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE)]
        done: list[Extraction] = []
        start = 0
        for ready in ahead(self.tokenizer, parts):
            done.append(self.extract_tokens(ready, _shifted(progress, start, len(texts))))
            start += len(ready)
        if len(done) == 1:
            return done[0]
        starts = np.cumsum([0, *(len(one.truncated) for one in done)])
        return Extraction(
            np.concatenate([np.empty((0, self.spec.dimension), np.float16), *(one.vectors for one in done)]),
            np.concatenate([np.empty(0, np.bool_), *(one.truncated for one in done)]),
            sum(one.tokens for one in done),
            {
                int(at) + row: why
                for at, one in zip(starts, done, strict=False)
                for row, why in one.problems.items()
            },
        )

    def extract_tokens(self, texts: Tokens, progress: Progress | None = None) -> Extraction:
        """Like `extract`, for texts that are tokens already."""
        vectors = np.zeros((len(texts), self.spec.dimension), np.float16)
        lengths = texts.lengths
        problems = {int(row): "the text has no token" for row in np.flatnonzero(lengths == 0)}
        real = np.flatnonzero(lengths > 0)
        done = len(problems)
        for rows, pooled in self._computed(texts, real):
            with np.errstate(over="ignore"):
                vectors[rows] = pooled.astype(np.float16)
            finite = np.isfinite(vectors[rows]).all(axis=1)
            if not finite.all():
                vectors[rows[~finite]] = 0
                problems.update(dict.fromkeys(rows[~finite].tolist(), self._not_finite()))
            done += len(rows)
            if progress is not None:
                progress(done, len(texts))
        return Extraction(vectors, texts.truncated, int(lengths.sum()), problems)

    def _computed(
        self, texts: Tokens, rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.floating]]]:
        """Batches of `rows` with their vectors."""
        planned = batches.by_length(texts.lengths[rows], self.model.budget, padded=self.model.padded)
        if self.model.workers > 1 and len(planned) > 1:
            yield from self._side_by_side(texts, [rows[batch] for batch in planned])
            return
        pending: deque[tuple[NDArray[np.int64], Callable[[], NDArray[np.floating]]]] = deque()
        rest = rows
        while len(rest):
            # planned anew each time a GPU out of memory has lowered the budget
            budget = self.model.budget
            taken = 0
            order: list[NDArray[np.int64]] = batches.by_length(
                texts.lengths[rest], budget, padded=self.model.padded
            )
            for batch in order:
                pending.append((rest[batch], self.model.begin([texts.of(row) for row in rest[batch]])))
                taken += 1
                if len(pending) > 1:
                    finished, wait = pending.popleft()
                    yield finished, wait()
                if self.model.budget < budget:
                    break
            rest = rest[np.concatenate(order[taken:])] if taken < len(order) else rest[:0]
        for finished, wait in pending:
            yield finished, wait()

    def _side_by_side(
        self, texts: Tokens, planned: Sequence[NDArray[np.int64]]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.floating]]]:
        if self._workers is None:
            self._workers = ThreadPoolExecutor(
                self.model.workers, "encoder", initializer=self.model.enter_worker
            )

        def compute(rows: NDArray[np.int64]) -> NDArray[np.floating]:
            return self.model.begin([texts.of(row) for row in rows])()

        running: deque[tuple[NDArray[np.int64], Future[NDArray[np.floating]]]] = deque()
        try:
            for rows in planned:
                running.append((rows, self._workers.submit(compute, rows)))
                if len(running) > 2 * self.model.workers:
                    finished, future = running.popleft()
                    yield finished, future.result()
            while running:
                finished, future = running.popleft()
                yield finished, future.result()
        finally:
            for _, future in running:
                future.cancel()

    def _not_finite(self) -> str:
        return (
            f"the vector is not finite in fp16 at precision {self.spec.precision}: values above 65504 need "
            "normalize: true, and where the model itself computes none, precision fp32 or other weights help"
        )


def _shifted(progress: Progress | None, start: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, _texts: progress(start + done, total)
