"""What makes an embedding space: digest of its weights, and its id."""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from learn_features.contracts import identity
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec
from learn_features.errors import BundleError

_LENGTH = struct.Struct("<Q")
_MAX_HEADER = 100_000_000


def weights_sha256(weights: Path, residuals: Path | None = None) -> str:
    """SHA-256 over the tensors of one or two safetensors files: names, types, shapes and bytes.

    The order of tensors in a file and its free-text metadata do not matter. Reads the format itself, so
    that serving needs neither torch nor the safetensors package. Raises `BundleError` if a file is
    not safetensors.
    """
    digest = hashlib.sha256()
    for file in (weights, residuals):
        if file is not None:
            _add_tensors(digest, file)
    return digest.hexdigest()


def _add_tensors(digest: "hashlib._Hash", file: Path) -> None:
    size = file.stat().st_size
    with file.open("rb") as raw:
        header, start = _header(raw, size, file)
        digest.update(b"file\0%d\0" % len(header))
        for name in sorted(header):
            tensor = header[name]
            begin, end = tensor["data_offsets"]
            if not 0 <= begin <= end <= size - start:
                raise BundleError(f"{file}: tensor {name} lies outside the file; it is damaged")
            shape = ",".join(map(str, tensor["shape"]))
            digest.update(f"{name}\0{tensor['dtype']}\0{shape}\0{end - begin}\0".encode())
            raw.seek(start + begin)
            remaining = end - begin
            while remaining:
                part = raw.read(min(remaining, 1 << 20))
                digest.update(part)
                remaining -= len(part)


def _header(raw: BinaryIO, size: int, file: Path) -> tuple[dict[str, Any], int]:
    """Name → type, shape and place of each tensor, and where the first one begins."""
    try:
        (length,) = _LENGTH.unpack(raw.read(_LENGTH.size))
        if length > min(size, _MAX_HEADER):
            raise ValueError("its header is longer than the file")
        header = json.loads(raw.read(length))
        header.pop("__metadata__", None)
        for tensor in header.values():
            begin, end = tensor["data_offsets"]
            if not isinstance(begin, int) or not isinstance(end, int) or "dtype" not in tensor:
                raise ValueError("a tensor has no type or place")
            list(tensor["shape"])
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{file}: is not a safetensors file: {error}") from None
    return header, _LENGTH.size + length


def space_id(
    encoder: EncoderSpec,
    history: HistoryRule,
    towers: Mapping[str, int | float | str | bool | None],
    weights_digest: str,
) -> str:
    """Id of the embedding space made of these parts, and of nothing else."""
    return identity.space_id(
        encoder=encoder.id,
        history_rule=history.model_dump(mode="json"),
        towers=towers,
        weights_sha256=weights_digest,
    )
