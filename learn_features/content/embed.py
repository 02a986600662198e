"""A whole catalogue's content vectors: only new and changed texts are encoded.

A run that was killed goes on behind its last shard (`catalogue_embedder`).
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.content.bad_items import BadItems, check_free
from learn_features.content.catalogue_embedder import SHARD_ITEMS, CatalogueEmbedder, Part
from learn_features.content.checked import check_content
from learn_features.content.shards import Shards
from learn_features.content.spec import encoder_spec
from learn_features.content.store import ContentStore
from learn_features.contracts import columns as c
from learn_features.errors import DataError

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EmbedReport:
    """What a run did; `encoded` and `unchanged` count items."""

    encoded: int
    unchanged: int
    truncated: int
    """Texts longer than the encoder reads, cut at `max_tokens`."""
    seconds: float
    encoder_id: str
    descriptions_cut: int = 0
    """Descriptions longer than `description_tokens`, cut there."""
    tokens: int = 0
    """Tokens that were encoded."""
    bad: int = 0
    """Lines of the list of bad items."""
    without_vector: int = 0
    """Items among them that have no vector."""
    bad_items: str | None = None
    """The list: CSV with item_id, has_vector, problem."""
    damaged_shards: int = 0
    """Shards that did not match their digest; set aside, their items encoded again."""

    def as_dict(self) -> dict[str, float | str | None]:
        return asdict(self)


def open_store(config: Config) -> ContentStore:
    """The content store of the configured encoder."""
    spec = encoder_spec(config.encoder)
    return ContentStore(config.content, spec.id, spec.dimension)


def embed_catalogue(
    config: Config,
    items: pl.DataFrame | Iterable[pl.DataFrame],
    progress: Progress | None = None,
    shard_items: int = SHARD_ITEMS,
    *,
    total: int | None = None,
    on_tokens: Callable[[int], None] | None = None,
    bad_items: str | None = None,
) -> EmbedReport:
    """Encode the texts of `items` (a table, or its blocks) that the store lacks and note each item's text.

    Without anything new, neither torch nor the encoder is loaded. `progress` is told how many of the items
    (of `total`, where they come in blocks) are done, `on_tokens` how many tokens were encoded so far. Items
    with a problem are listed in `bad_items`, by default `bad-items-<encoder>.csv` in the state folder.
    """
    started = time.monotonic()
    blocks = [items] if isinstance(items, pl.DataFrame) else items
    if total is None:
        total = items.height if isinstance(items, pl.DataFrame) else 0
    spec = encoder_spec(config.encoder)
    listed = bad_items or bad_items_file(config)
    check_free(listed)
    damaged = Shards(config.content, spec.id).set_aside_damaged()
    embedder = CatalogueEmbedder(config, shard_items)
    parts: list[Part] = []

    def show(part: Part | None = None) -> None:
        done = sum(one.items for one in parts) + (part.items if part else 0)
        if progress is not None and done:
            progress(done, max(total, done))
        if on_tokens is not None:
            on_tokens(sum(one.tokens for one in parts) + (part.tokens if part else 0))

    for block in blocks:
        for part in embedder.embed(block, show):
            parts.append(part)
            show()
    write_list(embedder.bad, listed)  # of a whole run: one that is stopped does not know what else is wrong
    return report_of(parts, embedder.bad, listed, spec.id, len(damaged), time.monotonic() - started)


def bad_items_file(config: Config) -> str:
    """Where items with a problem are listed unless somebody says otherwise."""
    return config.below_state(f"bad-items-{encoder_spec(config.encoder).id}.csv")


def report_of(
    parts: Iterable[Part], bad: BadItems, listed: str, encoder_id: str, damaged: int, seconds: float
) -> EmbedReport:
    """The report of all parts of a run."""
    parts = list(parts)
    return EmbedReport(
        encoded=sum(part.encoded for part in parts),
        unchanged=sum(part.unchanged for part in parts),
        truncated=sum(part.truncated for part in parts),
        seconds=seconds,
        encoder_id=encoder_id,
        descriptions_cut=sum(part.descriptions_cut for part in parts),
        tokens=sum(part.tokens for part in parts),
        bad=len(bad),
        without_vector=bad.count_without_vector,
        bad_items=listed if len(bad) else None,
        damaged_shards=damaged,
    )


def load_content(
    config: Config, items: pl.DataFrame, progress: Progress | None = None
) -> NDArray[np.float16]:
    """Content vectors (n_items, C) in the order of `items`; embeds what is missing first.

    Raises `DataError` for items that have none, and for vectors that are not finite.
    """
    embed_catalogue(config, items, progress)
    store = open_store(config)
    item_ids = items[c.ITEM_ID].to_list()
    vectors, found = store.lookup(item_ids)
    if not found.all():
        first = items[c.ITEM_ID][int(np.argmin(found))]
        raise DataError(
            f"{config.content}: {int((~found).sum())} items have no content vector, first {first}; "
            f"{bad_items_file(config)} says why: mend them, or leave them out of the items table"
        )
    check_content(vectors, item_ids)
    return vectors


def write_list(bad: BadItems, uri: str) -> None:
    """Write the list of bad items, or say in the log why not."""
    try:
        bad.write(uri)
    except OSError as error:  # the run's own outcome matters more
        _log.warning("%s: the list of bad items cannot be written: %s", uri, error)
