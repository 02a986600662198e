"""An encoder's tokenizer, without torch: to cut descriptions."""

import functools
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from learn_features.content import sources
from learn_features.content.templates import Cutter
from learn_features.contracts.manifest import EncoderSpec


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
        # A token has at least one character only on average; 40 a token leaves no real word out
        # and keeps a pasted book from being tokenised whole.
        starts = [text[: 40 * tokens] for text in texts]
        encodings = tokenizer.encode_batch_fast(starts, add_special_tokens=False)
        exact = any(len(encoding) > tokens for encoding in encodings)
        if exact:  # offsets in characters are needed only where something is cut
            encodings = tokenizer.encode_batch(starts, add_special_tokens=False)
        return [
            start[: encoding.offsets[tokens - 1][1]].rstrip() if len(encoding) > tokens else start
            for start, encoding in zip(starts, encodings, strict=True)
        ]

    return cut
