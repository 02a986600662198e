"""Feast's online store over the project's rows; the two stores differ in where the rows are.

vector views     strictly newer `as_of` wins, equal keeps what is there
history views    entries are merged (set union, newest N)
other views      newest event time wins, then newest created time
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from feast import Entity, FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from learn_features.contracts import online, times
from learn_features.contracts.deployment import DeploymentDocument
from learn_features.errors import DeploymentError
from learn_features.features import feast_cells, view_tags
from learn_features.features.history_merge import HistoryUpdate, merge_histories
from learn_features.features.row_store import CellPut, RowStore
from learn_features.release.deployment import DeploymentStore

FeastRow = tuple[EntityKeyProto, dict[str, ValueProto], datetime, datetime | None]
_ROWS_A_WRITE = 2_000


class RowOnlineStore(OnlineStore):
    """What both stores share; a subclass opens its rows."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], RowStore] = {}

    @abstractmethod
    def open_rows(self, config: RepoConfig) -> RowStore:
        """The rows at `place`, not yet contacted."""

    @abstractmethod
    def place(self, config: RepoConfig) -> str:
        """Path or URL of the rows."""

    def rows(self, config: RepoConfig) -> RowStore:
        identity = (config.project, self.place(config))
        if identity not in self._rows:
            self._rows[identity] = self.open_rows(config)
        return self._rows[identity]

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        rows = self.rows(config)
        for start in range(0, len(data), _ROWS_A_WRITE):
            batch = data[start : start + _ROWS_A_WRITE]
            keys = [_key(config, entity_key) for entity_key, *_ in batch]
            if feast_cells.is_history(table.name):
                merge_histories(rows, view_tags.history_rule(table), _history_updates(keys, batch))
            else:
                rows.put_newer(_puts(table.name, keys, batch))
            if progress:
                progress(len(batch))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKeyProto],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, ValueProto] | None]]:
        keys = [_key(config, entity_key) for entity_key in entity_keys]
        decode = feast_cells.decoder(table.name)
        found: list[tuple[datetime | None, dict[str, ValueProto] | None]] = []
        for [raw] in self.rows(config).read_fields(keys, [table.name]):
            if raw is None:
                found.append((None, None))
                continue
            cell = online.decode_cell(raw)
            values = decode(cell.payload)
            if requested_features is not None:
                values = {name: values[name] for name in requested_features if name in values}
            found.append((times.from_us(cell.as_of_us), values))
        return found

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Drop data of deleted views; `DeploymentError` for one that a space still uses."""
        for view in tables_to_delete:
            _refuse_if_used(view)
        for view in tables_to_delete:
            self.rows(config).drop_field(_prefix(view), view.name)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        for view in tables:
            self.rows(config).drop_field(_prefix(view), view.name)
        for rows in self._rows.values():
            rows.close()
        self._rows.clear()


def _key(config: RepoConfig, entity_key: EntityKeyProto) -> bytes:
    if len(entity_key.join_keys) == 1:
        value = entity_key.entity_values[0]
        if value.WhichOneof("val") == "string_val":
            return online.entity_key(entity_key.join_keys[0], value.string_val)
    version = config.entity_key_serialization_version
    key: bytes = serialize_entity_key(entity_key, entity_key_serialization_version=version)
    return key


def _puts(view: str, keys: list[bytes], batch: list[FeastRow]) -> list[CellPut]:
    feature = feast_cells.vector_feature(view)
    puts = []
    for key, (_, values, event_time, created) in zip(keys, batch, strict=True):
        as_of = feast_cells.microseconds(event_time)
        if feature is not None:
            cell = online.encode_cell(as_of, feast_cells.encode_vector_value(values[feature]))
        else:
            sequence = 0 if created is None else max(0, feast_cells.microseconds(created))
            cell = online.encode_cell(as_of, feast_cells.encode_values(values), sequence)
        puts.append(CellPut(key, {view: cell}))
    return puts


def _history_updates(keys: list[bytes], batch: list[FeastRow]) -> dict[bytes, HistoryUpdate]:
    updates: dict[bytes, HistoryUpdate] = {}
    for key, (_, values, event_time, _) in zip(keys, batch, strict=True):
        entries, as_of = feast_cells.history_entries(values), feast_cells.microseconds(event_time)
        if key in updates:
            entries, as_of = [*updates[key].entries, *entries], max(as_of, updates[key].as_of_us)
        updates[key] = HistoryUpdate(entries, as_of)
    return updates


def _prefix(view: FeatureView) -> bytes:
    keys = [column.name for column in view.entity_columns]
    return online.entity_key_prefix(keys[0]) if len(keys) == 1 else b""


def _refuse_if_used(view: FeatureView) -> None:
    place = view_tags.deployment(view)
    if place is None:
        return
    document: DeploymentDocument = DeploymentStore(place).read()
    if view.name in view_tags.views_in_use(document):
        raise DeploymentError(
            f"{view.name} belongs to a space that is not retired; its online data stay. "
            f"Declare the view again (learn-features spaces declare), or retire its space first"
        )
