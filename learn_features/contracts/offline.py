"""Schemas of the offline log: append-only Parquet data sets, one folder each.

Appends may repeat after a crash; readers drop duplicates: events by all but `as_of`, other rows by
(entity, `as_of`).
Files are written whole and renamed; the first file by name is typed and empty, because DuckDB takes
the columns from it and refuses a pattern that matches no file.
"""

import pyarrow as pa

from learn_features.contracts import columns as c
from learn_features.contracts import names

TIMESTAMP = pa.timestamp("us", tz="UTC")

INTERACTIONS = "interactions"
ITEMS = "items"
FORGOTTEN = "forgotten"

EMPTY_FILE = "00000000-schema.parquet"


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


INTERACTION_SCHEMA = pa.schema(
    [
        _required(c.USER_ID, pa.string()),
        _required(c.ITEM_ID, pa.string()),
        _required(c.EVENT_TIMESTAMP, TIMESTAMP),
        _required(c.EVENT_ID, pa.string()),
        _required(c.EVENT_TYPE, pa.string()),
        pa.field(c.VALUE, pa.float64()),
        _required(c.AS_OF, TIMESTAMP),
    ]
)

ITEM_SCHEMA = pa.schema(
    [
        _required(c.ITEM_ID, pa.string()),
        pa.field(c.TITLE, pa.string()),
        pa.field(c.CATEGORY, pa.string()),
        pa.field(c.BRAND, pa.string()),
        pa.field(c.PRICE, pa.float64()),
        pa.field(c.KEYWORDS, pa.string()),
        pa.field(c.ATTRIBUTES, pa.string()),
        pa.field(c.DESCRIPTION, pa.string()),
        _required(c.DELETED, pa.bool_()),
        _required(c.AS_OF, TIMESTAMP),
    ]
)

FORGOTTEN_SCHEMA = pa.schema([_required(c.USER_ID, pa.string()), _required(c.AS_OF, TIMESTAMP)])

USER_EMBEDDING_SCHEMA = pa.schema(
    [
        _required(c.USER_ID, pa.string()),
        pa.field(names.USER_VECTOR, pa.list_(pa.float32())),
        _required(c.AS_OF, TIMESTAMP),
    ]
)
"""A null vector is a tombstone."""

ITEM_EMBEDDING_SCHEMA = pa.schema(
    [
        _required(c.ITEM_ID, pa.string()),
        pa.field(names.ITEM_VECTOR, pa.list_(pa.float32())),
        _required(c.AS_OF, TIMESTAMP),
    ]
)
"""A null vector is a tombstone."""

ITEM_CONTENT_SCHEMA = pa.schema(
    [
        _required(c.ITEM_ID, pa.string()),
        pa.field(names.CONTENT_VECTOR, pa.list_(pa.float32())),
        _required(c.AS_OF, TIMESTAMP),
    ]
)

ITEM_POPULARITY_SCHEMA = pa.schema(
    [
        _required(c.ITEM_ID, pa.string()),
        _required(names.POPULARITY, pa.int64()),
        _required(c.AS_OF, TIMESTAMP),
    ]
)
"""Interactions of the item up to `as_of`."""

USER_HISTORY_SCHEMA = pa.schema(
    [
        _required(c.USER_ID, pa.string()),
        pa.field(names.HISTORY_TIMESTAMPS, pa.list_(pa.int64())),
        pa.field(names.HISTORY_EVENT_IDS, pa.list_(pa.string())),
        pa.field(names.HISTORY_ITEM_IDS, pa.list_(pa.string())),
        _required(c.AS_OF, TIMESTAMP),
    ]
)
"""Columns of the history view, whose data set stays empty: offline, histories come from the log."""
