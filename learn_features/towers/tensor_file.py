"""The safetensors format, read by itself: serving has neither torch nor the safetensors package."""

import errno
import json
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from learn_features.errors import BundleError

_LENGTH = struct.Struct("<Q")
_MAX_HEADER = 100_000_000
_TYPES = {"F32": "<f4", "U64": "<u8"}


def read_header(raw: BinaryIO, size: int, file: Path) -> tuple[dict[str, Any], int]:
    """Name → type, shape and place of each tensor of a file of `size` bytes, and where the first begins.

    Raises `BundleError` if it is not safetensors or a tensor lies outside it.
    """
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
    start = _LENGTH.size + length
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        if not 0 <= begin <= end <= size - start:
            raise BundleError(f"{file}: tensor {name} lies outside the file; it is damaged")
    return header, start


def mapped(file: Path) -> dict[str, NDArray[Any]]:
    """The tensors (float32 and uint64) of `file` as read-only memory maps; `BundleError` as above."""
    try:
        size = file.stat().st_size
        with file.open("rb") as raw:
            header, start = read_header(raw, size, file)
    except OSError as error:
        raise BundleError(f"{file}: cannot be read: {error.strerror}") from None
    whole = np.memmap(file, dtype=np.uint8, mode="r")
    tensors = {}
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        try:
            flat = whole[start + begin : start + end].view(np.dtype(_TYPES[tensor["dtype"]]))
            tensors[name] = flat.reshape(tensor["shape"])
        except (KeyError, ValueError, TypeError) as error:
            raise BundleError(f"{file}: tensor {name} is not what its header says: {error}") from None
    return tensors


@contextmanager
def disk_errors(file: Path) -> Iterator[None]:
    """An `OSError` for what the safetensors package says of a full disk, say, while it writes `file`."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error), str(file)) from None
