"""Write records to the topics: uploads, clicks, sweeps, tests."""

import json
from collections.abc import Mapping
from types import TracebackType

from pydantic import BaseModel

from learn_features.config import Config
from learn_features.contracts import names
from learn_features.contracts.events import (
    ExposureRecord,
    InteractionRecord,
    ItemRecord,
    RefreshKind,
    UserRefreshRecord,
)
from learn_features.errors import StoreUnavailable
from learn_features.streaming.client import connection, translated

_LINGER_MS = 5
_FLUSH_SECONDS = 60.0
_BATCH_BYTES = 131_072


class Producer:
    """An idempotent producer, acknowledged by all replicas. `flush` raises what went wrong before it."""

    def __init__(self, config: Config) -> None:
        from kafka import KafkaProducer

        self._config = config.kafka
        with translated(self._config):
            self._client = KafkaProducer(
                **connection(config.kafka),
                acks="all",
                enable_idempotence=True,
                allow_auto_create_topics=False,
                linger_ms=_LINGER_MS,
                batch_size=_BATCH_BYTES,
            )
        self._failures: list[BaseException] = []

    def item(self, record: ItemRecord) -> None:
        self._send(names.TOPIC_ITEMS, record.item_id, record)

    def delete_item(self, item_id: str) -> None:
        self._send(names.TOPIC_ITEMS, item_id, None)

    def interaction(self, record: InteractionRecord) -> None:
        self._send(names.TOPIC_INTERACTIONS, record.user_id, record)

    def refresh(self, user_id: str) -> None:
        self._send(names.TOPIC_USER_REFRESH, user_id, UserRefreshRecord(user_id=user_id))

    def forget(self, user_id: str) -> None:
        record = UserRefreshRecord(user_id=user_id, kind=RefreshKind.FORGET)
        self._send(names.TOPIC_USER_REFRESH, user_id, record)

    def exposure(self, record: ExposureRecord) -> None:
        self._send(names.TOPIC_EXPOSURES, record.user_id, record)

    def raw(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Bytes as they are, to a topic under the cluster's name for it; not both of them None."""
        encoded = [(name, text.encode(errors="backslashreplace")) for name, text in (headers or {}).items()]
        with translated(self._config):
            future = self._client.send(topic, value=value, key=key, headers=encoded)
        future.add_errback(self._failures.append)

    def flush(self) -> None:
        """Wait until everything sent is acknowledged; `StoreUnavailable` if something was not.

        What was not taken is told once and is not sent again: that is for whoever sent it.
        """
        with translated(self._config):
            self._client.flush(timeout=_FLUSH_SECONDS)
        if self._failures:
            failures, self._failures = self._failures, []
            raise StoreUnavailable(
                f"Kafka at {self._config.bootstrap_servers}: {len(failures)} records were not taken: "
                f"{failures[0]}"
            )

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> "Producer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self.close()

    def _send(self, topic: str, key: str, record: BaseModel | None) -> None:
        value = None
        if record is not None:
            mapping = self._config.fields.get(topic, {})
            body = record.model_dump(mode="json", exclude_none=True)
            renamed = {mapping.get(name, name): entry for name, entry in body.items()}
            value = json.dumps(renamed, ensure_ascii=False).encode()
        self.raw(self._config.topic(topic), key.encode(), value)
