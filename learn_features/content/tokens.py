"""An encoder's tokenizer, without torch: to cut descriptions, and to turn texts into token ids."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from learn_features.content import sources
from learn_features.content.templates import Cutter
from learn_features.contracts.manifest import EncoderSpec

CHARACTERS_A_TOKEN = 40
"""A token has at least one character only on average; 40 a token leaves no real word out and keeps a
pasted book from being tokenised whole."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of n texts, one behind the other."""

    ids: NDArray[np.int32]
    """(total,)"""
    starts: NDArray[np.int64]
    """(n + 1,): text i has `ids[starts[i]:starts[i + 1]]`."""
    truncated: NDArray[np.bool_]
    """(n,): the text is longer than the encoder reads."""

    def __len__(self) -> int:
        return len(self.truncated)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text (n,)."""
        return np.diff(self.starts)

    def of(self, row: int) -> NDArray[np.int32]:
        return self.ids[self.starts[row] : self.starts[row + 1]]

    def take(self, rows: NDArray[np.int64]) -> "Tokens":
        """Those of some rows, in that order."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        parts = [self.of(int(row)) for row in rows]
        starts = np.concatenate([[0], np.cumsum(self.lengths[rows])])
        return Tokens(np.concatenate([np.empty(0, np.int32), *parts]), starts, self.truncated[rows])


class TextTokenizer:
    """Texts → token ids with the model's special tokens, cut on the right at `max_tokens`.

    Everything that it does stands in `tokenizer.json`, which is part of the encoder's identity.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens, direction="right")
        self._characters = CHARACTERS_A_TOKEN * max_tokens

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return self._tokenizer.get_vocab_size()

    def __call__(self, texts: Sequence[str]) -> Tokens:
        starts = [text[: self._characters] for text in texts]
        encodings = self._tokenizer.encode_batch_fast(starts)
        lengths = np.fromiter((len(encoding) for encoding in encodings), np.int64, len(encodings))
        ids = [np.asarray(encoding.ids, np.int32) for encoding in encodings]
        cut = (
            bool(encoding.overflowing) or len(text) > len(start)
            for encoding, text, start in zip(encodings, texts, starts, strict=True)
        )
        return Tokens(
            np.concatenate(ids) if ids else np.empty(0, np.int32),
            np.concatenate([[0], np.cumsum(lengths)]),
            np.fromiter(cut, np.bool_, len(encodings)),
        )


def cutter_of(spec: EncoderSpec) -> Cutter:
    """Cuts by the tokenizer of the model that `spec` names."""
    return _cutter(sources.folder_of(spec))


def cutter_in(folder: Path) -> Cutter:
    """Cuts by the tokenizer in a model's folder."""
    return _cutter(folder)


@functools.lru_cache(maxsize=4)
def _cutter(folder: Path) -> Cutter:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def cut(texts: Sequence[str], tokens: int) -> list[str]:
        starts = [text[: CHARACTERS_A_TOKEN * tokens] for text in texts]
        encodings = tokenizer.encode_batch_fast(starts, add_special_tokens=False)
        exact = any(len(encoding) > tokens for encoding in encodings)
        if exact:  # offsets in characters are needed only where something is cut
            encodings = tokenizer.encode_batch(starts, add_special_tokens=False)
        return [
            start[: encoding.offsets[tokens - 1][1]].rstrip() if len(encoding) > tokens else start
            for start, encoding in zip(starts, encodings, strict=True)
        ]

    return cut
