"""A data set: a folder with an items and an interactions table, read and validated once."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from learn_features.config import DataConfig
from learn_features.contracts import columns as c
from learn_features.contracts import times
from learn_features.data.checked import CheckedTable
from learn_features.data.interactions import KNOWN_COLUMNS, check_known_items, read_interactions
from learn_features.data.items import ITEM_COLUMNS, read_items, unread_columns
from learn_features.data.table_files import read_table, write_parquet

ITEMS = "items"
INTERACTIONS = "interactions"


@dataclass(frozen=True)
class Dataset:
    """What downstream code may trust.

    items         item_id, title, category, brand, price, keywords, attributes, description, updated_at
                  (Datetime µs UTC, may be null); in the file's order; ids unique
    interactions  user_id, item_id, event_timestamp (Datetime µs UTC), event_id, event_type, value; each
                  event once, by user and then in contract order; may name items that `items` lacks
    has_times     False: there is only an order, and times are base date + position seconds
    log_file      where the interactions were read, for messages
    """

    items: pl.DataFrame
    interactions: pl.DataFrame
    has_times: bool
    warnings: list[str] = field(default_factory=list)
    log_file: str = INTERACTIONS


def read_dataset(
    folder: str | Path, config: DataConfig | None = None, *, now_us: int | None = None
) -> Dataset:
    """Read `items` and `interactions` (.parquet, .csv or .jsonl) in `folder`; `DataError` with the reason.

    `now_us` is what "in the future" is measured against; the machine's clock by default.
    """
    config = config or DataConfig()
    now_us = time.time_ns() // 1_000 if now_us is None else now_us
    warnings: list[str] = []
    item_table = CheckedTable(read_table(Path(folder), ITEMS), config.item_columns, ITEM_COLUMNS)
    log_table = CheckedTable(
        read_table(Path(folder), INTERACTIONS), config.interaction_columns, KNOWN_COLUMNS
    )
    items = read_items(item_table, now_us, warnings, attributes=config.item_attributes)
    if unread := unread_columns(item_table, config.item_attributes):
        warnings.append(
            f"{item_table.path}: not read: {', '.join(unread)}; columns of text or numbers that say what an"
            " item is belong into data.item_attributes of learn.yaml; booleans say nothing"
        )
    absent = sorted(set(config.item_attributes) - set(item_table.further))
    if absent and config.item_attributes != c.DESCRIPTIVE_COLUMNS:
        warnings.append(f"{item_table.path}: has no {', '.join(absent)}, named in data.item_attributes")
    interactions, has_times = read_interactions(log_table, now_us, warnings)
    check_known_items(interactions, items, log_table, config.max_unknown_item_share, warnings)
    return Dataset(items, interactions, has_times, warnings, str(log_table.path))


def write_dataset(folder: str | Path, items: pl.DataFrame, interactions: pl.DataFrame) -> None:
    """Write both tables below `folder`, each whole or not at all; contract columns first."""
    for name, frame, order in (
        (ITEMS, items, ITEM_COLUMNS),
        (INTERACTIONS, interactions, KNOWN_COLUMNS),
    ):
        known = [column for column in order if column in frame.columns]
        write_parquet(Path(folder) / f"{name}.parquet", frame.select(*known, pl.exclude(known)))


def time_span(interactions: pl.DataFrame) -> tuple[datetime, datetime]:
    """UTC times of the oldest and the newest event."""
    moments = interactions[c.EVENT_TIMESTAMP].to_physical().to_numpy()
    return times.from_us(int(moments.min())), times.from_us(int(moments.max()))
