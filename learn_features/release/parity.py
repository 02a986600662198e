"""ONNX Runtime against torch, on shapes that were not seen at export.

An exporter can silently freeze a dimension, drop a mask or mistake padding; so: batch 1 and more,
length 1 to the longest, padded and unpadded, and padding filled with garbage. Residuals are zero, as
those of new items, in some cases and not in others; time gaps lie on and beside the edges of their buckets.
"""

from collections.abc import Iterator

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from learn_features.contracts import manifest as m
from learn_features.contracts.manifest import ParityReport
from learn_features.data.time_gaps import FIRST
from learn_features.errors import GateFailed
from learn_features.release.runtime import open_session
from learn_features.towers.model import Towers
from learn_features.towers.time_gaps import EDGES

TOLERANCE = 1e-4
"""Largest difference in any component of a unit vector."""

_BATCHES = (1, 2, 7)


def check_parity(
    towers: Towers, user_onnx: bytes, item_onnx: bytes, max_length: int, tolerance: float = TOLERANCE
) -> ParityReport:
    """Compare both towers on every shape; `GateFailed` names the worst one if it is too far off."""
    user, item = open_session(user_onnx, threads=1), open_session(item_onnx, threads=1)
    worst, worst_case, cases = 0.0, "", 0
    inputs = _Inputs(towers)
    for name, content, lengths in inputs.users(max_length):
        for beside in inputs.beside(content, (m.RESIDUAL, m.GAP)):
            given: dict[str, np.ndarray] = {"content": content, "lengths": lengths, **beside}
            tensors = {key: torch.from_numpy(value) for key, value in given.items()}
            with torch.inference_mode():
                expected = towers.user(
                    tensors["content"], tensors["lengths"], tensors.get(m.RESIDUAL), tensors.get(m.GAP)
                ).numpy()
            actual = _run(user, given, expected.shape, name)
            worst, worst_case, cases = _worse(worst, worst_case, cases, expected, actual, name)
    for name, content in inputs.items():
        for beside in inputs.beside(content, (m.RESIDUAL,)):
            residual = beside.get(m.RESIDUAL)
            with torch.inference_mode():
                expected = towers.item(
                    torch.from_numpy(content), None if residual is None else torch.from_numpy(residual)
                ).numpy()
            actual = _run(item, {"content": content, **beside}, expected.shape, name)
            worst, worst_case, cases = _worse(worst, worst_case, cases, expected, actual, name)
    if not worst <= tolerance:  # also where it is not a number
        raise GateFailed(
            f"ONNX and torch differ by {worst:.2e} ({worst_case}; tolerance {tolerance:.0e}); "
            "the export is wrong for this architecture and nothing was published"
        )
    return ParityReport(max_abs_diff=worst, tolerance=tolerance, cases=cases)


class _Inputs:
    """Random content with the centre and spread of what the towers were trained on."""

    def __init__(self, towers: Towers) -> None:
        self._random = np.random.default_rng(17)
        self._mean = towers.user.input.mean.numpy()
        self._scale = float(towers.user.input.scale)
        self._config = towers.config

    def users(self, max_length: int) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.int64]]]:
        for length in sorted({1, 2, max(1, max_length // 2 + 1), max_length}):
            for batch in _BATCHES:
                content = self._content(batch, length)
                full = np.full(batch, length, dtype=np.int64)
                yield f"user tower, {batch} × {length}", content, full
                if length == 1:
                    continue
                padded = self._random.integers(1, length + 1, batch)
                padded[0] = 1
                for row, real in enumerate(padded):
                    content[row, real:] = 0
                yield f"user tower, {batch} × {length}, padded", content, padded
                garbage = content.copy()
                for row, real in enumerate(padded):
                    garbage[row, real:] = 1e3
                yield f"user tower, {batch} × {length}, padded with garbage", garbage, padded

    def items(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        for batch in (*_BATCHES, 257):
            yield f"item tower, {batch}", self._content(batch)

    def beside(
        self, content: NDArray[np.float32], names: tuple[str, ...]
    ) -> Iterator[dict[str, NDArray[np.float32]]]:
        """What goes in beside `content` (…, C), of the inputs `names`: without residuals, then with."""
        rows = content.shape[:-1]
        inputs = {}
        if m.GAP in names and self._config.time_gaps:
            doublings = 2.0 ** self._random.integers(-2, EDGES, rows)
            gaps = doublings + self._random.choice([-1.0, -0.25, 0.0, 0.25], rows)
            gaps[:, 0] = FIRST
            inputs[m.GAP] = gaps.astype(np.float32)
        if not self._config.residuals:
            yield inputs
            return
        shape = (*rows, self._config.dimension)
        yield {**inputs, m.RESIDUAL: np.zeros(shape, dtype=np.float32)}
        yield {**inputs, m.RESIDUAL: self._random.standard_normal(shape, dtype=np.float32)}

    def _content(self, *shape: int) -> NDArray[np.float32]:
        noise = self._random.standard_normal((*shape, len(self._mean)), dtype=np.float32)
        content: NDArray[np.float32] = (self._mean + self._scale * noise).astype(np.float32)
        return content


def _run(
    session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray], shape: tuple[int, ...], name: str
) -> NDArray[np.float32]:
    try:
        output: NDArray[np.float32] = session.run(None, inputs)[0]
    except Exception as error:  # onnxruntime's errors have no common base
        raise GateFailed(f"ONNX Runtime refuses the shape of {name}: {error}") from None
    if output.shape != shape:
        raise GateFailed(f"{name}: ONNX gives {output.shape}, torch {shape}")
    return output


def _worse(
    worst: float,
    worst_case: str,
    cases: int,
    expected: NDArray[np.float32],
    actual: NDArray[np.float32],
    name: str,
) -> tuple[float, str, int]:
    difference = float(np.abs(expected - actual).max())
    if not difference <= worst:
        worst, worst_case = difference, name
    return worst, worst_case, cases + 1
