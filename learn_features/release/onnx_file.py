"""What an ONNX file of a bundle must not contain, checked without the onnx package.

Walks the protobuf wire format; tensors' bytes are stepped over. Field numbers: onnx.proto.
"""

from collections.abc import Iterator
from pathlib import Path

from learn_features.errors import BundleError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_MODEL = {7: "graph", 25: "function", 20: "training"}
_GRAPH = {1: "node", 5: "tensor", 15: "sparse"}
_CHILDREN = {
    "model": _MODEL,
    "graph": _GRAPH,
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_TENSOR_EXTERNAL_DATA = 13
_TENSOR_DATA_LOCATION = 14
_NODE_DOMAIN = 7
_KNOWN_DOMAINS = (b"", b"ai.onnx", b"com.microsoft")


def check_self_contained(raw: bytes, file: Path) -> None:
    """`BundleError` if a tensor lies outside the file, or an operator is nobody knows whose."""
    try:
        _check(memoryview(raw), "model", file, 0)
    except (IndexError, ValueError, RecursionError) as error:
        raise BundleError(f"{file}: is not an ONNX file: {error}") from None


def _check(message: memoryview, kind: str, file: Path, depth: int) -> None:
    if depth > 64:
        raise ValueError("graphs are nested too deep")
    for number, value in _fields(message):
        if kind == "tensor":
            if number == _TENSOR_EXTERNAL_DATA or (number == _TENSOR_DATA_LOCATION and value != 0):
                raise BundleError(
                    f"{file}: a tensor refers to data outside the file, which a bundle must not; "
                    "export it again with everything inside"
                )
            continue
        if kind == "node" and number == _NODE_DOMAIN and bytes(_bytes(value)) not in _KNOWN_DOMAINS:
            domain = bytes(_bytes(value)).decode(errors="replace")
            raise BundleError(f"{file}: an operator of domain {domain!r} needs code that is not in the file")
        child = _CHILDREN[kind].get(number)
        if child is not None:
            _check(_bytes(value), child, file, depth + 1)


def _bytes(value: "int | memoryview") -> memoryview:
    if isinstance(value, int):
        raise ValueError("a message is a number")
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, "int | memoryview"]]:
    """(field number, value) of each field; varints as numbers, everything else as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(message):
            raise ValueError("it ends too early")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = message[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return result, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
