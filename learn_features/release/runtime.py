"""Both towers under ONNX Runtime: NumPy in, NumPy out, no torch."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from learn_features.contracts import manifest as m
from learn_features.contracts.manifest import TowerSpec
from learn_features.errors import BundleError, ConfigError, MissingDependency, SpaceMismatch
from learn_features.release.bundle import Bundle
from learn_features.towers.residuals import ItemResiduals

SPACE_METADATA = "space_id"
ENTRIES_PER_BATCH = 16_384
"""History entries (padding counted) in one call of ONNX Runtime."""
ITEMS_PER_BATCH = 2_048
"""Items in one: each may be compared with thousands of known ones."""

Device = Literal["cpu", "cuda"]


class OnnxTowers:
    """The towers of one space. Batches inside; what a batch is made of changes rounding only."""

    def __init__(self, bundle: Bundle, device: Device = "cpu", threads: int | None = None) -> None:
        """Load both towers; `threads` inside an operator, default all cores this process may use.

        Raises `SpaceMismatch` if an ONNX file carries another space, `BundleError` if it is not the graph
        that the manifest describes, `MissingDependency` if CUDA is asked for and not in use.
        """
        self.manifest = bundle.manifest
        width = self.manifest.residual_dimension
        self._residuals = None
        if width is not None:
            # mapped, not read again: opening the bundle has just verified gigabytes of it
            self._residuals = ItemResiduals.load(bundle.folder / m.RESIDUALS_FILE, width)
        self._item = open_session(bundle.read(m.ITEM_TOWER_FILE), device, threads)
        self._user = open_session(bundle.read(m.USER_TOWER_FILE), device, threads)
        self._item_output = _check(self._item, self.manifest.item_tower, bundle, m.ITEM_TOWER_FILE)
        self._user_output = _check(self._user, self.manifest.user_tower, bundle, m.USER_TOWER_FILE)

    @property
    def space_id(self) -> str:
        return self.manifest.space_id

    @property
    def dimension(self) -> int:
        """D"""
        return self.manifest.dimension

    @property
    def content_dimension(self) -> int:
        """C"""
        return self.manifest.encoder.dimension

    @property
    def reads_time_gaps(self) -> bool:
        """Whether `embed_users` needs `gaps`."""
        return any(tensor.name == m.GAP for tensor in self.manifest.user_tower.inputs)

    def residuals(self, item_ids: Sequence[str]) -> NDArray[np.float32] | None:
        """What training learned of items (n, R), zeros for those it has not seen; None: it learned none."""
        return None if self._residuals is None else self._residuals.lookup(item_ids)

    @property
    def providers(self) -> list[str]:
        """Execution providers really in use, first choice first."""
        providers: list[str] = self._user.get_providers()
        return providers

    def embed_items(
        self, content: NDArray[np.floating], residuals: NDArray[np.floating] | None = None
    ) -> NDArray[np.float32]:
        """Unit vectors (n, D) of items from content (n, C).

        `residuals` (n, R), those of `self.residuals`; None: all zeros, as for new items.
        """
        self._require_content(content, 2)
        residuals = self._checked_residuals(residuals, content)
        vectors = np.empty((len(content), self.dimension), dtype=np.float32)
        for start in range(0, len(content), ITEMS_PER_BATCH):
            part = slice(start, start + ITEMS_PER_BATCH)
            inputs = {"content": np.ascontiguousarray(content[part], dtype=np.float32)}
            if residuals is not None:
                inputs[m.RESIDUAL] = np.ascontiguousarray(residuals[part], dtype=np.float32)
            vectors[part] = self._item.run([self._item_output], inputs)[0]
        return self._finite(vectors, "item")

    def embed_users(
        self,
        content: NDArray[np.floating],
        lengths: NDArray[np.integer],
        residuals: NDArray[np.floating] | None = None,
        gaps: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float32]:
        """Unit vectors (B, D) of users from histories (B, L, C), oldest entry first, padded at the end.

        `lengths` (B,): real entries, 1 … L, and no more than the space's history rule keeps: `ValueError`
        otherwise. `residuals` (B, L, R) of the histories' items; None: all zeros, as for new items. `gaps`
        (B, L) seconds since the previous entry (`data.time_gaps`): `SpaceMismatch` if the space reads them
        and there are none; another space ignores them. Users of like length share a batch, so padding
        costs little.
        """
        self._require_content(content, 3)
        residuals, gaps = self._checked_residuals(residuals, content), self._checked_gaps(gaps, content)
        lengths = lengths.astype(np.int64)
        self._require_lengths(lengths, content)
        vectors = np.empty((len(content), self.dimension), dtype=np.float32)
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            longest = int(lengths[order[start]])
            rows = order[start : start + max(1, ENTRIES_PER_BATCH // longest)]
            inputs = {
                "content": np.ascontiguousarray(content[rows, :longest], dtype=np.float32),
                "lengths": lengths[rows],
            }
            for name, beside in ((m.RESIDUAL, residuals), (m.GAP, gaps)):
                if beside is not None:
                    inputs[name] = np.ascontiguousarray(beside[rows, :longest], dtype=np.float32)
            vectors[rows] = self._user.run([self._user_output], inputs)[0]
            start += len(rows)
        return self._finite(vectors, "user")

    def _require_content(self, content: NDArray[np.floating], axes: int) -> None:
        if content.ndim != axes or content.shape[-1] != self.content_dimension:
            raise SpaceMismatch(
                f"content has shape {content.shape}; space {self.space_id} reads {axes} axes, the last of "
                f"{self.content_dimension} numbers (encoder {self.manifest.encoder.id})"
            )

    def _checked_residuals(
        self, residuals: NDArray[np.floating] | None, content: NDArray[np.floating]
    ) -> NDArray[np.floating] | None:
        """What the graph gets beside `content` (…, C): (…, R), or None where it has no such input."""
        width = self.manifest.residual_dimension
        if residuals is None and width is not None:
            return np.broadcast_to(np.float32(0), (*content.shape[:-1], width))
        if residuals is not None and residuals.shape != (*content.shape[:-1], width):
            raise SpaceMismatch(
                f"residuals are {residuals.shape} for content {content.shape}; space {self.space_id} has "
                f"{'none' if width is None else f'width {width}'}"
            )
        return residuals

    def _checked_gaps(
        self, gaps: NDArray[np.floating] | None, content: NDArray[np.floating]
    ) -> NDArray[np.floating] | None:
        if not self.reads_time_gaps:
            return None
        if gaps is None or gaps.shape != content.shape[:2]:
            raise SpaceMismatch(
                f"space {self.space_id} reads the time since the previous entry of each history, one number "
                f"an entry; gaps are {None if gaps is None else gaps.shape} for content {content.shape}"
            )
        return gaps

    def _require_lengths(self, lengths: NDArray[np.integer], content: NDArray[np.floating]) -> None:
        if lengths.shape != content.shape[:1]:
            raise ValueError(f"lengths are {lengths.shape} for content {content.shape}")
        most = min(content.shape[1], self.manifest.history.max_length)
        wrong = np.flatnonzero((lengths < 1) | (lengths > most))
        if len(wrong):
            raise ValueError(
                f"{len(wrong)} of {len(lengths)} histories are not 1 to {most} entries long "
                f"(rule {self.manifest.history.id} keeps {self.manifest.history.max_length}): first row "
                f"{wrong[0]} has {lengths[wrong[0]]}"
            )

    def _finite(self, vectors: NDArray[np.float32], tower: str) -> NDArray[np.float32]:
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            count = f"{int((~finite).sum())} of {len(vectors)} vectors"
            raise ValueError(
                f"{tower} tower of space {self.space_id}: {count} are not finite, first row "
                f"{int(np.argmin(finite))}; look at its content vectors"
            )
        return vectors


def open_session(
    raw: bytes, device: Device = "cpu", threads: int | None = None
) -> onnxruntime.InferenceSession:
    """A session over an ONNX file's bytes, on the device that was asked for or not at all."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    # a consumer waits more than it computes: its threads must not spin meanwhile
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = ["CPUExecutionProvider"]
    if device == "cuda":
        wanted.insert(0, "CUDAExecutionProvider")
        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA and cuDNN from their wheels
    elif device != "cpu":
        raise ConfigError(f"device {device!r} is not known; there are cpu and cuda")
    available = set(onnxruntime.get_available_providers())
    session = onnxruntime.InferenceSession(raw, options, providers=[p for p in wanted if p in available])
    in_use = session.get_providers()
    if in_use[0] != wanted[0]:  # ONNX Runtime falls back to the CPU without an error
        raise MissingDependency(
            f"CUDA was asked for, but ONNX Runtime uses {', '.join(in_use)}: install a driver "
            "and onnxruntime-gpu for this CUDA version, or use device cpu"
        )
    return session


def _check(session: onnxruntime.InferenceSession, spec: TowerSpec, bundle: Bundle, file: str) -> str:
    stamped = session.get_modelmeta().custom_metadata_map.get(SPACE_METADATA)
    if stamped != bundle.space_id:
        raise SpaceMismatch(
            f"{bundle.folder / file}: belongs to space {stamped}, its manifest to {bundle.space_id}"
        )
    for kind, graph, described in (
        ("input", session.get_inputs(), spec.inputs),
        ("output", session.get_outputs(), spec.outputs),
    ):
        actual, expected = (
            _shapes(graph),
            {t.name: (f"tensor({_ONNX_TYPES[t.dtype]})", t.shape) for t in described},
        )
        if actual.keys() != expected.keys() or not all(_agree(actual[n], expected[n]) for n in actual):
            raise BundleError(
                f"{bundle.folder / file}: its {kind}s are {actual}, the manifest says {expected}"
            )
    output: str = spec.outputs[0].name
    return output


_ONNX_TYPES: Mapping[str, str] = {"float32": "float", "int64": "int64"}


def _shapes(graph: Any) -> dict[str, tuple[str, tuple[Any, ...]]]:
    return {tensor.name: (tensor.type, tuple(tensor.shape)) for tensor in graph}


def _agree(actual: tuple[str, tuple[Any, ...]], expected: tuple[str, tuple[Any, ...]]) -> bool:
    """Same type and rank, same sizes where they are fixed, dynamic where they are named."""
    return (
        actual[0] == expected[0]
        and len(actual[1]) == len(expected[1])
        and all(
            (isinstance(a, int) and a == e) or (not isinstance(a, int) and isinstance(e, str))
            for a, e in zip(actual[1], expected[1], strict=True)
        )
    )
