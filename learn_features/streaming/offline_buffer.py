"""Rows on their way to the offline log: kept until the next flush, lost with the process, replayed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from learn_features.contracts import columns as c
from learn_features.contracts import offline
from learn_features.errors import StoreUnavailable
from learn_features.features.offline_log import OfflineLog


class Append(NamedTuple):
    """Rows for one data set of the offline log."""

    dataset: str
    table: pa.Table


class OfflineBuffer:
    """Appends since the last flush."""

    def __init__(self, log: OfflineLog) -> None:
        self._log = log
        self._tables: dict[str, list[pa.Table]] = defaultdict(list)
        self.rows = 0

    def add(self, appends: Iterable[Append]) -> None:
        for append in appends:
            if append.table.num_rows:
                self._tables[append.dataset].append(append.table)
                self.rows += append.table.num_rows

    def drop(self) -> None:
        self._tables.clear()
        self.rows = 0

    @property
    def urgent(self) -> bool:
        """Whether somebody asked to be forgotten: a backfill must not go by a log that does not know."""
        return offline.FORGOTTEN in self._tables

    def flush(self) -> dict[str, int]:
        """Append everything, a file a data set, who is forgotten first; rows written by data set.

        Raises `StoreUnavailable`; what was written by then is written again, which readers allow for.
        """
        written = {}
        try:
            for dataset in sorted(self._tables, key=lambda name: name != offline.FORGOTTEN):
                tables = self._tables[dataset]
                self._log.append(dataset, pa.concat_tables(tables))
                written[dataset] = sum(table.num_rows for table in tables)
        except OSError as error:
            raise StoreUnavailable(
                f"offline log {self._log.folder}: {error}; nothing is committed"
            ) from error
        self.drop()
        return written


def vector_rows(
    view: str,
    entity: str,
    feature: str,
    ids: Sequence[str],
    vectors: Sequence[NDArray[Any] | None],
    as_of_us: Sequence[int],
) -> Append:
    """Rows of a vector view: id, float32 vector (None: tombstone), as_of."""
    present = [np.asarray(vector, dtype=np.float32) for vector in vectors if vector is not None]
    lengths = np.array([0 if vector is None else len(vector) for vector in vectors], dtype=np.int32)
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    flat = np.concatenate(present) if present else np.zeros(0, np.float32)
    lists = pa.ListArray.from_arrays(
        pa.array(offsets),
        pa.array(flat, pa.float32()),
        mask=pa.array([vector is None for vector in vectors], pa.bool_()),
    )
    times = pa.array(as_of_us, pa.int64()).cast(offline.TIMESTAMP)
    return Append(view, pa.table({entity: pa.array(ids, pa.string()), feature: lists, c.AS_OF: times}))


def plain_rows(dataset: str, schema: pa.Schema, rows: Sequence[dict[str, Any]]) -> Append:
    """Rows of a data set without vectors; times as µs."""
    values = {field.name: [row.get(field.name) for row in rows] for field in schema}
    arrays = [
        pa.array(values[field.name], pa.int64()).cast(field.type)
        if field.type == offline.TIMESTAMP
        else pa.array(values[field.name], field.type)
        for field in schema
    ]
    return Append(dataset, pa.table(arrays, schema=schema))


def item_frame(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Items as `content` reads them: id and the text columns."""
    kinds = {name: pl.Float64 if name == c.PRICE else pl.String for name in c.ITEM_TEXT_COLUMNS}
    return pl.DataFrame(rows, schema={c.ITEM_ID: pl.String, **kinds})
