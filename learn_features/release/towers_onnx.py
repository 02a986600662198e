"""Both towers as ONNX files, dynamic in batch and length, stamped with their space."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import onnx
import torch
from torch import nn

from learn_features.contracts.manifest import GAP, RESIDUAL, TensorSpec, TowerSpec
from learn_features.release.runtime import SPACE_METADATA
from learn_features.towers.config import TowerConfig
from learn_features.towers.model import Towers

OPSET = 20
_EXAMPLE_BATCH, _EXAMPLE_LENGTH = 3, 5  # neither 0 nor 1: those would be taken for constants

_EXPORTER_LOGGERS = ("torch.onnx", "torch.onnx._internal.exporter._registration", "onnxscript")


def user_tower_spec(config: TowerConfig) -> TowerSpec:
    each = ("batch", "length")
    inputs = [
        TensorSpec(name="content", dtype="float32", shape=(*each, config.content_dimension)),
        TensorSpec(name="lengths", dtype="int64", shape=("batch",)),
    ]
    if config.residuals:
        inputs.append(TensorSpec(name=RESIDUAL, dtype="float32", shape=(*each, config.dimension)))
    if config.time_gaps:
        inputs.append(TensorSpec(name=GAP, dtype="float32", shape=each))
    return TowerSpec(
        inputs=tuple(inputs),
        outputs=(TensorSpec(name="user_vector", dtype="float32", shape=("batch", config.dimension)),),
    )


def item_tower_spec(config: TowerConfig) -> TowerSpec:
    inputs = [TensorSpec(name="content", dtype="float32", shape=("batch", config.content_dimension))]
    if config.residuals:
        inputs.append(TensorSpec(name=RESIDUAL, dtype="float32", shape=("batch", config.dimension)))
    return TowerSpec(
        inputs=tuple(inputs),
        outputs=(TensorSpec(name="item_vector", dtype="float32", shape=("batch", config.dimension)),),
    )


def user_tower_onnx(towers: Towers, space_id: str) -> bytes:
    """The user tower's ONNX file; inputs and output as in `user_tower_spec`."""
    spec = user_tower_spec(towers.config)
    example = {tensor.name: _example(tensor) for tensor in spec.inputs}
    example["lengths"] = torch.tensor([_EXAMPLE_LENGTH, 2, _EXAMPLE_LENGTH - 1])
    return _export(towers.user, example, spec, space_id, {RESIDUAL: "residuals", GAP: "gaps"})


def item_tower_onnx(towers: Towers, space_id: str) -> bytes:
    """The item tower's ONNX file; inputs and output as in `item_tower_spec`."""
    spec = item_tower_spec(towers.config)
    return _export(towers.item, {tensor.name: _example(tensor) for tensor in spec.inputs}, spec, space_id)


def _example(tensor: TensorSpec) -> torch.Tensor:
    sizes = {"batch": _EXAMPLE_BATCH, "length": _EXAMPLE_LENGTH}
    shape = [sizes[size] if isinstance(size, str) else size for size in tensor.shape]
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _export(
    tower: nn.Module,
    example: dict[str, torch.Tensor],
    spec: TowerSpec,
    space_id: str,
    parameters: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """`parameters`: inputs that the tower's `forward` names otherwise."""
    dims = {"batch": torch.export.Dim("batch"), "length": torch.export.Dim("length")}
    shapes = {
        parameters.get(tensor.name, tensor.name): {
            axis: dims[size] for axis, size in enumerate(tensor.shape) if isinstance(size, str)
        }
        for tensor in spec.inputs
    }
    with _quiet():
        program = torch.onnx.export(
            tower.eval(),
            kwargs={parameters.get(name, name): tensor for name, tensor in example.items()},
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=[tensor.name for tensor in spec.inputs],
            output_names=[tensor.name for tensor in spec.outputs],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    model.metadata_props.add(key=SPACE_METADATA, value=space_id)
    onnx.checker.check_model(model)
    raw: bytes = model.SerializeToString(deterministic=True)
    return raw


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes of this machine: source lines, stack traces, paths."""
    del model.metadata_props[:]
    model.doc_string = ""
    for graph in (model.graph, *model.functions):
        graph.doc_string = ""
        del graph.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
        for value in (*graph.value_info, *getattr(graph, "input", ()), *getattr(graph, "output", ())):
            if isinstance(value, onnx.ValueInfoProto):
                del value.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of operators of packages that are not installed, and of axis names."""
    before = {name: logging.getLogger(name).level for name in _EXPORTER_LOGGERS}
    for name in before:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
