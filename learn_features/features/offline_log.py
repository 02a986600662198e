"""The offline log: append-only Parquet data sets below one folder, a folder each.

Each file is written aside, synced and renamed, so a reader never sees half of one. File names begin
with the time of the append, so that the order of names is the order of appends.
"""

import time
from pathlib import Path
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from learn_features.contracts import columns as c
from learn_features.contracts import names, offline
from learn_features.durable import whole
from learn_features.errors import ConfigError, DataError

FIXED_SCHEMAS = {
    offline.INTERACTIONS: offline.INTERACTION_SCHEMA,
    offline.ITEMS: offline.ITEM_SCHEMA,
    offline.FORGOTTEN: offline.FORGOTTEN_SCHEMA,
    names.ITEM_POPULARITY_VIEW: offline.ITEM_POPULARITY_SCHEMA,
}
EVENT_IDENTITY = [name for name in offline.INTERACTION_SCHEMA.names if name != c.AS_OF]
"""What makes two rows of `interactions` the same event."""

_VIEW_SCHEMAS = {
    names.USER_EMBEDDING_PREFIX: offline.USER_EMBEDDING_SCHEMA,
    names.ITEM_EMBEDDING_PREFIX: offline.ITEM_EMBEDDING_SCHEMA,
    names.ITEM_CONTENT_PREFIX: offline.ITEM_CONTENT_SCHEMA,
    names.USER_HISTORY_PREFIX: offline.USER_HISTORY_SCHEMA,
}


def schema_of(dataset: str) -> pa.Schema:
    """The schema of a data set of the log, by its name."""
    if dataset in FIXED_SCHEMAS:
        return FIXED_SCHEMAS[dataset]
    for prefix, schema in _VIEW_SCHEMAS.items():
        if dataset.startswith(prefix):
            return schema
    raise DataError(f"the offline log has no data set {dataset}")


class OfflineLog:
    """The log in the local folder `uri`. Raises `ConfigError` for URIs of object stores."""

    def __init__(self, uri: str) -> None:
        if "://" in uri and not uri.startswith("file://"):
            raise ConfigError(f"{uri}: the offline log needs a local folder; set `state` to a path")
        self.folder = Path(uri.removeprefix("file://")).resolve()

    def pattern(self, dataset: str) -> str:
        """Glob of all files of a data set, for Feast's sources."""
        return str(self.folder / dataset / "*.parquet")

    def ensure(self, dataset: str, schema: pa.Schema | None = None) -> None:
        """Write the typed empty file that gives the data set its columns, if it is not there."""
        file = self.folder / dataset / offline.EMPTY_FILE
        if not file.exists():
            self._write(file, (schema or schema_of(dataset)).empty_table())

    def append(self, dataset: str, table: pa.Table) -> Path | None:
        """Add one file with the rows of `table`, whose columns are those of the data set's schema.

        Columns may come in another order or string or list width; nothing is written for no rows.
        Returns the file. Raises `DataError` for other columns or nulls where none may be.
        """
        schema = schema_of(dataset)
        if sorted(table.column_names) != sorted(schema.names):
            raise DataError(f"{dataset}: columns are {table.column_names}, expected {schema.names}")
        if table.num_rows == 0:
            return None
        try:
            table = table.select(schema.names).cast(schema)
        except (pa.ArrowInvalid, ValueError) as error:
            raise DataError(f"{dataset}: rows do not fit the schema: {error}") from None
        self.ensure(dataset)
        file = self.folder / dataset / f"{time.time_ns():020d}-{uuid4().hex[:12]}.parquet"
        self._write(file, table)
        return file

    def interactions(self) -> pl.DataFrame:
        """Each event once, as it was known first; events of users who were forgotten later are left out.

        Events are the same if all but `as_of` is: one sent again with another type or value may count
        where the first did not, and one `event_id` (of an order) may stand for several items.
        """
        events = without_forgotten(self._read(offline.INTERACTIONS), self.forgotten())
        events = events.sort(c.AS_OF, maintain_order=True)
        return events.unique(EVENT_IDENTITY, keep="first", maintain_order=True)

    def items(self, *, deleted: bool = False) -> pl.DataFrame:
        """Each item as it was known last; deleted ones only if asked for."""
        items = self._read(offline.ITEMS).sort(c.AS_OF, maintain_order=True)
        items = items.unique(c.ITEM_ID, keep="last", maintain_order=True)
        return items if deleted else items.filter(~pl.col(c.DELETED))

    def forgotten(self) -> pl.DataFrame:
        """user_id and as_of of the last time each user was forgotten."""
        return self._read(offline.FORGOTTEN).group_by(c.USER_ID, maintain_order=True).agg(pl.max(c.AS_OF))

    def embeddings(self, view: str) -> pl.DataFrame:
        """Rows of a view's data set, one for each entity and `as_of`; the last appended counts."""
        rows = self._read(view)
        entity = c.USER_ID if c.USER_ID in rows.columns else c.ITEM_ID
        return rows.unique([entity, c.AS_OF], keep="last", maintain_order=True)

    def _read(self, dataset: str) -> pl.DataFrame:
        empty = pl.DataFrame(schema_of(dataset).empty_table())
        files = sorted((self.folder / dataset).glob("*.parquet"))
        try:
            frames = [pl.read_parquet(file, schema=dict(empty.schema)) for file in files]
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{self.folder / dataset}: cannot be read: {error}") from None
        return pl.concat([empty, *frames])

    @staticmethod
    def _write(file: Path, table: pa.Table) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as aside:
            pq.write_table(table, aside, compression="zstd")


def without_forgotten(events: pl.DataFrame, forgotten: pl.DataFrame) -> pl.DataFrame:
    """`events` known after their user was last forgotten (`forgotten`: user_id, as_of)."""
    last = forgotten.rename({c.AS_OF: "forgotten_at"})
    events = events.join(last, on=c.USER_ID, how="left", maintain_order="left")
    kept = pl.col("forgotten_at").is_null() | (pl.col(c.AS_OF) > pl.col("forgotten_at"))
    return events.filter(kept).drop("forgotten_at")
