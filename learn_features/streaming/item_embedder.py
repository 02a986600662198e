"""Items → content vectors → item vectors of every space that is filling or ready."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learn_features.contracts import columns as c
from learn_features.contracts import names, offline, online
from learn_features.contracts.deployment import Space
from learn_features.contracts.manifest import EncoderSpec
from learn_features.features.row_store import CellPut, RowStore
from learn_features.streaming.handler import GuardedRows
from learn_features.streaming.offline_buffer import Append, item_frame, plain_rows, vector_rows
from learn_features.streaming.records import Event, ItemEvent
from learn_features.streaming.spaces import Spaces

_log = logging.getLogger(__name__)


class Encoder(Protocol):
    """A frozen text encoder (`content.encoder.Encoder`)."""

    def item_texts(self, items: pl.DataFrame) -> list[str]: ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]: ...


class ItemEmbedder:
    """The last record appended for an item is in force; a deletion leaves tombstones."""

    topics: tuple[str, ...] = (names.TOPIC_ITEMS,)
    role = "item-embedder"
    max_batch: int | None = 256

    def __init__(
        self, store: RowStore, spaces: Spaces, open_encoder: Callable[[EncoderSpec], Encoder]
    ) -> None:
        self._store = store
        self._spaces = spaces
        self._open_encoder = open_encoder
        self._encoders: dict[str, Encoder] = {}

    def prepare(self) -> None:
        """Load the encoder of every space: seconds that the first upload would wait for."""
        self._spaces.embed(lambda space_id, space, towers: self._encoder(space.encoder))

    def handle(self, events: Sequence[Event], rows: GuardedRows) -> list[Append]:
        raw = [event for event in events if isinstance(event, ItemEvent)]
        newest: dict[str, ItemEvent] = {}
        for event in raw:
            if event.item_id not in newest or newest[event.item_id].revision <= event.revision:
                newest[event.item_id] = event
        changed = [event for event in newest.values() if event.record is not None]
        deleted = [event for event in newest.values() if event.record is None]
        frame = item_frame([event.record.model_dump() for event in changed if event.record])
        contents: dict[str, NDArray[np.float16]] = {}

        def embed(space_id: str, space: Space, towers: Any) -> NDArray[np.float32]:
            encoder = space.encoder.id
            if encoder not in contents:
                contents[encoder] = self._encode(space.encoder, frame)
            residuals = towers.residuals([event.item_id for event in changed])
            vectors: NDArray[np.float32] = towers.embed_items(contents[encoder].astype(np.float32), residuals)
            return vectors

        vectors = self._spaces.embed(embed)
        cells: dict[str, dict[str, bytes]] = {event.item_id: {} for event in newest.values()}
        appends = [plain_rows(offline.ITEMS, offline.ITEM_SCHEMA, [_row(event) for event in raw])]
        views: list[tuple[str, str, NDArray[Any]]] = [
            (names.item_content_view(e), names.CONTENT_VECTOR, found) for e, found in contents.items()
        ]
        views += [(names.item_embedding_view(s), names.ITEM_VECTOR, found) for s, found in vectors.items()]
        for view, feature, found in views:
            values = [*found, *(None for _ in deleted)]
            appends.append(_put(cells, view, feature, [*changed, *deleted], values))
        rows.read([])
        self._store.put_newer(
            [CellPut(online.entity_key(c.ITEM_ID, item), fields) for item, fields in cells.items() if fields]
        )
        return appends

    def _encode(self, spec: EncoderSpec, items: pl.DataFrame) -> NDArray[np.float16]:
        """Content vectors (n, C) of all items under one encoder."""
        if items.height == 0:
            return np.zeros((0, spec.dimension), dtype=np.float16)
        encoder = self._encoder(spec)
        return encoder.encode(encoder.item_texts(items))

    def _encoder(self, spec: EncoderSpec) -> Encoder:
        if spec.id not in self._encoders:
            self._encoders[spec.id] = self._open_encoder(spec)
        return self._encoders[spec.id]


def _put(
    cells: dict[str, dict[str, bytes]],
    view: str,
    feature: str,
    events: Sequence[ItemEvent],
    values: Sequence[NDArray[Any] | None],
) -> Append:
    """Put one view's cells into `cells`; the same as rows for the offline log."""
    for event, value in zip(events, values, strict=True):
        payload = online.TOMBSTONE if value is None else online.encode_vector(np.asarray(value, np.float32))
        cells[event.item_id][view] = online.encode_cell(event.append_us, payload, event.offset)
    ids = [event.item_id for event in events]
    return vector_rows(view, c.ITEM_ID, feature, ids, values, [event.append_us for event in events])


def _row(event: ItemEvent) -> dict[str, Any]:
    texts = {} if event.record is None else event.record.model_dump(include=set(c.ITEM_TEXT_COLUMNS))
    deleted = event.record is None
    return {**texts, c.ITEM_ID: event.item_id, c.DELETED: deleted, c.AS_OF: event.append_us}
