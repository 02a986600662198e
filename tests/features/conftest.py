import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from learn_features.config import Config, EncoderConfig
from learn_features.content import templates
from learn_features.content.spec import encoder_spec
from learn_features.content.store import ContentStore, content_hash
from learn_features.contracts import columns as c
from learn_features.contracts import manifest as m
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import Manifest, ParityReport, TensorSpec, TowerSpec
from learn_features.data.tables import Dataset
from learn_features.features.dataset_import import import_dataset
from learn_features.release.bundle import publish
from learn_features.towers.identity import space_id, weights_sha256

DIMENSION = 4

STORE_FILE = """
project: tests
provider: local
registry:
  registry_type: sql
  path: sqlite:///registry.db
  cache_ttl_seconds: 2
  cache_mode: sync
  serve_features_while_materializing: true
online_store:
  type: learn_features.features.sqlite_online_store.SqliteOnlineStore
  path: online.db
offline_store: {type: duckdb}
materialization: {pull_latest_features: true}
entity_key_serialization_version: 3
"""


def at(day: int, second: int = 0, microsecond: int = 0) -> datetime:
    return datetime(2024, 3, day, 12, second // 60, second % 60, microsecond, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """An empty system of its own."""
    file = tmp_path / "store" / "feature_store.yaml"
    file.parent.mkdir()
    file.write_text(STORE_FILE)
    return Config(
        state=str(tmp_path / "state"),
        feature_store=file,
        encoder=EncoderConfig(template="{title}", max_tokens=16),
    )


@dataclass(frozen=True)
class Towers:
    """Linear towers: an item is its content × weights, a user the mean of their items, both of length 1."""

    uri: str
    space_id: str
    weights: NDArray[np.float32]

    def item(self, content: NDArray[np.floating]) -> NDArray[np.float64]:
        vector = content.astype(np.float64) @ self.weights
        return vector / np.linalg.norm(vector)

    def user(self, contents: list[NDArray[np.floating]]) -> NDArray[np.float64]:
        return self.item(np.mean([content.astype(np.float64) for content in contents], axis=0))


def _spec(inputs: list[tuple[str, str, tuple[int | str, ...]]], output: str) -> TowerSpec:
    return TowerSpec(
        inputs=tuple(TensorSpec(name=n, dtype=t, shape=s) for n, t, s in inputs),  # type: ignore[arg-type]
        outputs=(TensorSpec(name=output, dtype="float32", shape=("batch", DIMENSION)),),
    )


def _graph(spec: TowerSpec, nodes: list[onnx.NodeProto], constants: dict[str, NDArray], space: str) -> bytes:
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    info = [
        [helper.make_tensor_value_info(t.name, kinds[t.dtype], list(t.shape)) for t in tensors]
        for tensors in (spec.inputs, spec.outputs)
    ]
    initial = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tower", info[0], info[1], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"space_id": space})
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def make_towers(config: Config, tmp_path: Path) -> Callable[..., Towers]:
    """Publishes a bundle of linear towers: `make_towers(seed, history=HistoryRule())`."""

    def make(seed: int = 0, history: HistoryRule | None = None) -> Towers:
        history = history or HistoryRule(max_length=3)
        encoder = encoder_spec(config.encoder)
        weights = np.random.default_rng(seed).normal(size=(encoder.dimension, DIMENSION)).astype(np.float32)
        folder = tmp_path / "state" / f"staged-{seed}"
        folder.mkdir(parents=True)
        save_file({"weights": weights}, folder / m.WEIGHTS_FILE)
        digest = weights_sha256(folder / m.WEIGHTS_FILE)
        space = space_id(encoder, history, {"kind": "linear"}, digest)
        item = _spec([("content", "float32", ("batch", encoder.dimension))], "item_vector")
        user = _spec(
            [
                ("content", "float32", ("batch", "length", encoder.dimension)),
                ("lengths", "int64", ("batch",)),
            ],
            "user_vector",
        )
        node = helper.make_node
        item_nodes = [
            node("MatMul", ["content", "weights"], ["product"]),
            node("LpNormalization", ["product"], ["item_vector"], axis=-1, p=2),
        ]
        user_nodes = [
            node("Shape", ["content"], ["shape"]),
            node("Gather", ["shape", "one"], ["length"]),
            node("Range", ["zero", "length", "one"], ["places"]),
            node("Unsqueeze", ["lengths", "axis_1"], ["ends"]),
            node("Less", ["places", "ends"], ["real"]),
            node("Cast", ["real"], ["real_float"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["real_float", "axis_2"], ["mask"]),
            node("Mul", ["content", "mask"], ["masked"]),
            node("ReduceSum", ["masked", "axis_1"], ["sum"], keepdims=0),
            node("MatMul", ["sum", "weights"], ["product"]),
            node("LpNormalization", ["product"], ["user_vector"], axis=-1, p=2),
        ]
        numbers = {"zero": np.array(0), "one": np.array(1), "axis_1": np.array([1]), "axis_2": np.array([2])}
        (folder / m.ITEM_TOWER_FILE).write_bytes(_graph(item, item_nodes, {"weights": weights}, space))
        (folder / m.USER_TOWER_FILE).write_bytes(
            _graph(user, user_nodes, {"weights": weights, **numbers}, space)
        )
        manifest = Manifest(
            space_id=space,
            encoder=encoder,
            history=history,
            towers={"kind": "linear"},
            weights_sha256=digest,
            dimension=DIMENSION,
            user_tower=user,
            item_tower=item,
            data_cutoff=at(1),
            trained_until=at(1),
            split="global_time",
            metrics={},
            parity=ParityReport(max_abs_diff=0, tolerance=1e-4, cases=1),
            created_at=at(1),
            files={
                name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in m.REQUIRED_FILES
            },
        )
        (folder / m.MANIFEST_FILE).write_text(manifest.model_dump_json())
        uri = f"{config.bundles}/{space}"
        publish(folder, uri)
        return Towers(uri, space, weights)

    return make


@dataclass(frozen=True)
class Catalogue:
    """Content vectors (C,) by item id."""

    content: dict[str, NDArray[np.float16]]


def items_frame(ids: list[str], updated: dict[str, datetime] | None = None) -> pl.DataFrame:
    texts = [c.CATEGORY, c.BRAND, c.KEYWORDS, c.ATTRIBUTES, c.DESCRIPTION]
    return pl.DataFrame(
        {
            c.ITEM_ID: ids,
            c.TITLE: [f"title of {one}" for one in ids],
            **{name: pl.Series([None] * len(ids), dtype=pl.String) for name in texts},
            c.PRICE: pl.Series([None] * len(ids), dtype=pl.Float64),
            c.UPDATED_AT: pl.Series(
                [(updated or {}).get(one) for one in ids], dtype=pl.Datetime("us", "UTC")
            ),
        }
    )


def events_frame(events: list[tuple[str, str, datetime]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            c.USER_ID: [user for user, _, _ in events],
            c.ITEM_ID: [item for _, item, _ in events],
            c.EVENT_TIMESTAMP: pl.Series([when for *_, when in events], dtype=pl.Datetime("us", "UTC")),
            c.EVENT_ID: [f"{user}-{item}-{when.isoformat()}" for user, item, when in events],
            c.EVENT_TYPE: [c.DEFAULT_EVENT_TYPE] * len(events),
            c.VALUE: pl.Series([None] * len(events), dtype=pl.Float64),
        }
    )


@pytest.fixture
def fill_log(config: Config) -> Callable[..., Catalogue]:
    """Imports items and events into the offline log, and stores a content vector for each item."""

    def fill(
        item_ids: list[str],
        events: list[tuple[str, str, datetime]],
        updated: dict[str, datetime] | None = None,
    ) -> Catalogue:
        items = items_frame(item_ids, updated)
        spec = encoder_spec(config.encoder)
        vectors = np.random.default_rng(len(item_ids)).normal(size=(len(item_ids), spec.dimension))
        hashes = [content_hash(text) for text in templates.item_texts(items, spec)]
        store = ContentStore(config.content, spec.id, spec.dimension)
        store.put(item_ids, hashes, vectors.astype(np.float16))
        import_dataset(config, Dataset(items, events_frame(events), has_times=True))
        return Catalogue(dict(zip(item_ids, vectors.astype(np.float16), strict=True)))

    return fill
