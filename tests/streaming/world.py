"""A small real installation for stream tests: topics, stores, and towers with random weights."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml
from kafka import KafkaConsumer, TopicPartition

from learn_features import config as settings
from learn_features.config import Config, EncoderConfig
from learn_features.content.spec import encoder_spec
from learn_features.content.store import ContentStore, content_hash
from learn_features.contracts import names, online
from learn_features.contracts.deployment import DeploymentDocument, RankerVersion, Slot, Space, SpaceState
from learn_features.contracts.events import InteractionRecord
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import RESIDUALS_FILE
from learn_features.contracts.run_files import RUN_WEIGHTS_FILE
from learn_features.features.backfill import mark_filled
from learn_features.features.rows import open_row_store
from learn_features.features.store_file import REDIS_STORE, SQLITE_STORE
from learn_features.release.bundle import open_bundle
from learn_features.release.deployment import DeploymentStore
from learn_features.streaming.topics import create_topics
from tests.oracle.history import LogRecord

RULE = HistoryRule(max_length=8)
TOPICS = (names.TOPIC_ITEMS, names.TOPIC_INTERACTIONS, names.TOPIC_USER_REFRESH)
SEEN = [f"i{number}" for number in range(0, 80, 2)]
"""Items that the tiny spaces have residuals of."""
NOW_US = 1_700_000_000_000_000


def build_bundle(folder: Path, seed: int) -> str:
    """Publish a tiny space for the MiniLM encoder's vectors; the bundle's path.

    Its towers read time gaps, and it has residuals of SEEN and of no other item.
    """
    import torch

    from learn_features.release.export import export_run
    from learn_features.towers.config import TowerConfig
    from learn_features.towers.identity import weights_sha256
    from learn_features.towers.model import Towers
    from learn_features.towers.residuals import ItemResiduals
    from learn_features.towers.weights import save_towers
    from learn_features.training.recipe import Recipe
    from learn_features.training.run import TrainingRun, write_run

    spec = encoder_spec(EncoderConfig())
    towers = TowerConfig(
        content_dimension=spec.dimension, dimension=8, width=16, layers=1, heads=2, feedforward=16,
        item_hidden=16, max_length=RULE.max_length, residuals=True, time_gaps=True,
    )  # fmt: skip
    run_folder = folder / f"run-{seed}"
    run_folder.mkdir(parents=True)
    torch.manual_seed(seed)
    model = Towers(towers)
    with torch.no_grad():
        model.user.gaps.embedding.weight.normal_()  # so that gaps change a vector by much
    save_towers(model, run_folder / RUN_WEIGHTS_FILE)
    table = np.random.default_rng(seed).normal(size=(len(SEEN), towers.dimension)).astype(np.float32)
    ItemResiduals.of(SEEN, table).save(run_folder / RESIDUALS_FILE)
    residuals = run_folder / RESIDUALS_FILE
    run = TrainingRun(
        weights_sha256=weights_sha256(run_folder / RUN_WEIGHTS_FILE, residuals), digests={},
        trained_until=datetime(2020, 1, 1, tzinfo=UTC), preset="small", recipe=Recipe(), seed=seed,
        encoder=spec, history=RULE, towers=towers,
        split="global_time", data_cutoff=datetime(2020, 1, 1, tzinfo=UTC), users=0, users_skipped=0,
        items=0, interactions=0, epochs=1, best_epoch=1, loss=0.0, validation={}, seconds=0.0,
    )  # fmt: skip
    write_run(run_folder, run)
    return export_run(Config(state=str(folder)), run_folder)


@dataclass
class StreamWorld:
    """Folder, settings and names of one installation."""

    folder: Path
    config: Config
    config_file: Path

    @classmethod
    def create(
        cls, folder: Path, bootstrap_servers: str, redis_url: str | None, partitions: int = 2
    ) -> "StreamWorld":
        """Topics of its own on the broker, an empty state folder, an online store marked as filled."""
        name = f"t{time.time_ns()}"
        store = (
            {"type": REDIS_STORE, "url": redis_url}
            if redis_url
            else {"type": SQLITE_STORE, "path": "rows.db"}
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "feature_store.yaml").write_text(yaml.safe_dump({"project": name, "online_store": store}))
        kafka = {
            "bootstrap_servers": bootstrap_servers,
            "topics": {topic: f"{name}-{topic}" for topic in (*TOPICS, names.TOPIC_EXPOSURES)},
            "group_prefix": name,
            "flush_seconds": 1,
            "session_timeout_seconds": 6,
        }
        file = folder / "learn.yaml"
        values = {"state": "state", "feature_store": "feature_store.yaml", "kafka": kafka}
        file.write_text(yaml.safe_dump({**values, "history": RULE.model_dump(mode="json")}))
        config = settings.load(file)
        create_topics(config, partitions)
        world = cls(folder, config, file)
        with world.rows() as rows:
            mark_filled(rows)
        return world

    @contextmanager
    def rows(self) -> Iterator:
        store = open_row_store(self.config)
        try:
            yield store
        finally:
            store.close()

    def deploy(self, bundle: str, state: SpaceState = SpaceState.READY, slot: bool = True) -> str:
        """Put a bundle's space into the deployment document; its id."""
        manifest = open_bundle(bundle).manifest
        ranker = names.ranker_version("dot-product", manifest.space_id)

        def change(document: DeploymentDocument) -> DeploymentDocument:
            space = Space(
                state=state, bundle=bundle, encoder=manifest.encoder, history=manifest.history,
                dimension=manifest.dimension, data_cutoff=manifest.data_cutoff,
            )  # fmt: skip
            new = {"spaces": {**document.spaces, manifest.space_id: space}}
            if slot:
                version = RankerVersion(kind="dot-product", space_id=manifest.space_id)
                new |= {
                    "rankers": {**document.rankers, ranker: version},
                    "slots": {"ranking": Slot(ranker=ranker)},
                }
            return document.model_copy(update=new)

        DeploymentStore(self.config.deployment).update(change)
        return manifest.space_id

    def fill_content(self, item_ids: list[str], seed: int = 0) -> dict[str, np.ndarray]:
        """Random content vectors in the shards; by item."""
        spec = encoder_spec(EncoderConfig())
        vectors = np.random.default_rng(seed).normal(size=(len(item_ids), spec.dimension)).astype(np.float16)
        store = ContentStore(self.config.content, spec.id, spec.dimension)
        store.put(item_ids, [content_hash(item) for item in item_ids], vectors)
        return dict(zip(item_ids, vectors, strict=True))

    def checkpoints(self) -> list[online.PartitionCheckpoint]:
        with self.rows() as rows:
            row = rows.read_rows([online.CHECKPOINT_KEY])[0]
        return [
            online.PartitionCheckpoint.model_validate_json(raw)
            for name, raw in row.items()
            if name != online.FILLED_FIELD
        ]

    def log(self) -> list[LogRecord]:
        """Every record of the three topics, by partition and offset."""
        found = []
        for topic in TOPICS:
            name = self.config.kafka.topic(topic)
            client = KafkaConsumer(bootstrap_servers=self.config.kafka.bootstrap_servers, group_id=None)
            places = [TopicPartition(name, number) for number in client.partitions_for_topic(name)]
            client.assign(places)
            client.seek_to_beginning(*places)
            ends = client.end_offsets(places)
            while any(client.position(place) < end for place, end in ends.items()):
                for entries in client.poll(timeout_ms=500).values():
                    found += [
                        LogRecord(topic, e.partition, e.offset, e.timestamp * 1000, e.key, e.value)
                        for e in entries
                    ]
            client.close()
        return sorted(found, key=lambda record: record[:3])

    def caught_up(self, topics: tuple[str, ...]) -> bool:
        """Whether the checkpoints of these topics are at the logs' ends."""
        client = KafkaConsumer(bootstrap_servers=self.config.kafka.bootstrap_servers, group_id=None)
        try:
            ends = {}
            for topic in topics:
                name = self.config.kafka.topic(topic)
                places = [TopicPartition(name, number) for number in client.partitions_for_topic(name)]
                ends |= {(topic, p.partition): end for p, end in client.end_offsets(places).items()}
        finally:
            client.close()
        done = {(c.topic, c.partition): c.next_offset for c in self.checkpoints()}
        return all(done.get(place, -1) >= end for place, end in ends.items())


def interaction(user: str, item: str, number: int = 0, **more) -> InteractionRecord:
    return InteractionRecord(user_id=user, item_id=item, event_timestamp=NOW_US + number * 1_000_000, **more)


def wait_for(condition: Callable[[], bool], seconds: float = 30, what: str = "the condition") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(0.02)


class running:
    """A consumer in a thread, as a context manager; its error, if any, is raised at the end."""

    def __init__(self, target: Callable[..., None], config: Config, *arguments: object) -> None:
        self._stop = threading.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._work, args=(target, config, self._stop, *arguments))

    def _work(self, target: Callable[..., None], *arguments: object) -> None:
        try:
            target(*arguments)
        except BaseException as problem:
            self._problem = problem

    def __enter__(self) -> "running":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the consumer does not stop"
        if self._problem is not None:
            raise self._problem

    def problem(self, seconds: float = 30) -> BaseException | None:
        """What it ended with by itself."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"the consumer still runs after {seconds} s"
        problem, self._problem = self._problem, None
        return problem
