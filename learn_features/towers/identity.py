"""What makes an embedding space: digest of its weights, and its id."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from learn_features.contracts import identity
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec
from learn_features.towers.tensor_file import read_header


def weights_sha256(weights: Path, residuals: Path | None = None) -> str:
    """SHA-256 over the tensors of one or two safetensors files: names, types, shapes and bytes.

    The order of tensors in a file and its free-text metadata do not matter. Raises `BundleError` if a file is
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
        header, start = read_header(raw, size, file)
        digest.update(b"file\0%d\0" % len(header))
        for name in sorted(header):
            tensor = header[name]
            begin, end = tensor["data_offsets"]
            shape = ",".join(map(str, tensor["shape"]))
            digest.update(f"{name}\0{tensor['dtype']}\0{shape}\0{end - begin}\0".encode())
            raw.seek(start + begin)
            remaining = end - begin
            while remaining:
                part = raw.read(min(remaining, 1 << 20))
                digest.update(part)
                remaining -= len(part)


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
