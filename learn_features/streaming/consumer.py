"""The two consumers, put together from their parts."""

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from learn_features.config import Config, EncoderConfig
from learn_features.contracts.manifest import EncoderSpec
from learn_features.errors import SpaceMismatch
from learn_features.features.offline_log import OfflineLog
from learn_features.features.row_store import RowStore
from learn_features.features.rows import open_row_store
from learn_features.streaming.contents import ItemContents
from learn_features.streaming.dead_letters import DeadLetters
from learn_features.streaming.decoding import decoder
from learn_features.streaming.handler import Handler
from learn_features.streaming.health import serve
from learn_features.streaming.loop import StreamLoop
from learn_features.streaming.metrics import Health, StreamMetrics
from learn_features.streaming.offline_buffer import OfflineBuffer
from learn_features.streaming.partitions import Partitions
from learn_features.streaming.producers import Producer
from learn_features.streaming.spaces import Spaces
from learn_features.streaming.user_updater import UserUpdater
from learn_features.streaming.user_vectors import UserVectors

if TYPE_CHECKING:
    from learn_features.content.encoder import Encoder

DEFAULT_INSTANCE = "0"

MakeHandler = Callable[[RowStore, Spaces, StreamMetrics], Handler]


def run_item_embedder(config: Config, stop: threading.Event, instance: str = DEFAULT_INSTANCE) -> None:
    """Consume `items` until `stop`: content and item vectors online, raw items and vectors offline.

    Raises `CheckpointError`, `ConfigError`, `SpaceMismatch` … with what to do; the store or the broker
    being out of reach for a while is not an error.
    """
    from learn_features.streaming.item_embedder import ItemEmbedder

    _run(
        config,
        stop,
        instance,
        lambda store, spaces, metrics: ItemEmbedder(store, spaces, encoder_for(config.encoder)),
    )


def run_user_updater(config: Config, stop: threading.Event, instance: str = DEFAULT_INSTANCE) -> None:
    """Consume `interactions` and `user_refresh` until `stop`: histories and user vectors online, raw
    events and vectors offline. Raises like `run_item_embedder`."""

    def make(store: RowStore, spaces: Spaces, metrics: StreamMetrics) -> Handler:
        vectors = UserVectors(spaces, ItemContents(config, store))
        return UserUpdater(store, spaces, vectors, metrics)

    _run(config, stop, instance, make)


def encoder_for(config: EncoderConfig) -> Callable[[EncoderSpec], "Encoder"]:
    """Opens the configured encoder for the spaces that were made with it; `SpaceMismatch` for others."""

    def opened(spec: EncoderSpec) -> "Encoder":
        from learn_features.content.encoder import open_encoder

        encoder = open_encoder(config)
        if encoder.spec.id != spec.id:
            raise SpaceMismatch(
                f"the space was made with encoder {spec.id} ({spec.model}, {spec.precision}), but `encoder` "
                f"in the settings is {encoder.spec.id} ({encoder.spec.model}, {encoder.spec.precision})"
            )
        return encoder

    return opened


def _run(config: Config, stop: threading.Event, instance: str, make: MakeHandler) -> None:
    metrics, health = StreamMetrics(), Health()
    with contextlib.ExitStack() as stack:
        stack.enter_context(serve(config.service.metrics_port, metrics, health))
        store = open_row_store(config)
        stack.callback(store.close)
        spaces = Spaces(config, metrics)
        handler = make(store, spaces, metrics)
        producer = Producer(config)
        stack.callback(producer.close)
        loop = StreamLoop(
            Partitions(config.kafka, handler.role, handler.topics, instance, handler.max_batch),
            handler,
            store,
            spaces,
            OfflineBuffer(OfflineLog(config.offline)),
            DeadLetters(config, producer),
            decoder(config),
            config.kafka,
            metrics,
            health,
        )
        loop.run(stop)
