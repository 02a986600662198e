"""A data set's tables into the offline log, each row with the time the system could have known it."""

from typing import NamedTuple

import polars as pl

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import offline, times
from learn_features.data.tables import Dataset
from learn_features.features.offline_log import EVENT_IDENTITY, OfflineLog


class ImportReport(NamedTuple):
    """Rows that were new to the log."""

    interactions: int
    items: int


def import_dataset(config: Config, dataset: Dataset) -> ImportReport:
    """Append what the log does not have: events (all columns count), items by (item, `as_of`).

    `as_of` is the event time for interactions, and `updated_at`, else the base date, for items.
    """
    log = OfflineLog(config.offline)
    for name in (offline.INTERACTIONS, offline.ITEMS, offline.FORGOTTEN):
        log.ensure(name)
    events = dataset.interactions.with_columns(pl.col(c.EVENT_TIMESTAMP).alias(c.AS_OF))
    events = events.join(log.interactions(), on=EVENT_IDENTITY, how="anti", nulls_equal=True)
    base = pl.lit(times.BASE_DATE).cast(pl.Datetime("us", "UTC"))
    items = dataset.items.with_columns(
        pl.lit(False).alias(c.DELETED), pl.col(c.UPDATED_AT).fill_null(base).alias(c.AS_OF)
    )
    known = log.embeddings(offline.ITEMS).select(c.ITEM_ID, c.AS_OF)
    items = items.join(known, on=[c.ITEM_ID, c.AS_OF], how="anti", maintain_order="left")
    log.append(offline.ITEMS, items.select(offline.ITEM_SCHEMA.names).to_arrow())
    log.append(offline.INTERACTIONS, events.select(offline.INTERACTION_SCHEMA.names).to_arrow())
    return ImportReport(events.height, items.height)
