"""A whole catalogue's content vectors: only new and changed texts are encoded."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.content import templates, tokens
from learn_features.content.sources import locate
from learn_features.content.spec import encoder_spec
from learn_features.content.store import ContentStore, content_hash
from learn_features.contracts import columns as c
from learn_features.errors import DataError

SHARD_ITEMS = 2_048
"""Items between two shards: what a killed run encodes again at most."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EmbedReport:
    """What a run did; `encoded` counts items, `truncated` texts longer than the encoder reads."""

    encoded: int
    unchanged: int
    truncated: int
    seconds: float
    encoder_id: str

    def as_dict(self) -> dict[str, float | str]:
        return asdict(self)


def open_store(config: Config) -> ContentStore:
    """The content store of the configured encoder."""
    spec = encoder_spec(config.encoder)
    return ContentStore(config.content, spec.id, spec.dimension)


def embed_catalogue(
    config: Config, items: pl.DataFrame, progress: Progress | None = None, shard_items: int = SHARD_ITEMS
) -> EmbedReport:
    """Encode the texts of `items` that the store lacks and note each item's current text.

    Written shard by shard: a run that was killed goes on where it was. Without anything new, neither
    torch nor the encoder is loaded. `progress` counts the items to encode.
    """
    started = time.monotonic()
    spec = encoder_spec(config.encoder)
    store = ContentStore(config.content, spec.id, spec.dimension)
    item_ids = items[c.ITEM_ID].to_list()
    texts = templates.item_texts(items, spec, tokens.cutter_in(locate(config.encoder).folder))
    hashes = [content_hash(text) for text in texts]

    changed = np.flatnonzero(~store.up_to_date(item_ids, hashes)) if item_ids else np.empty(0, np.int64)
    known = changed[store.has([hashes[row] for row in changed])] if len(changed) else changed
    store.point([item_ids[row] for row in known], [hashes[row] for row in known])
    todo = np.setdiff1d(changed, known, assume_unique=True)

    truncated = 0
    if len(todo):
        from learn_features.content.encoder import open_encoder

        encoder = open_encoder(config.encoder)
        for start in range(0, len(todo), shard_items):
            rows = todo[start : start + shard_items].tolist()
            # equal texts are encoded once
            first_of = {hashes[row]: row for row in reversed(rows)}
            distinct = list(first_of)
            shift = _shifted(progress, start, len(rows) / len(distinct), len(todo))
            extraction = encoder.extract([texts[first_of[h]] for h in distinct], shift)
            place = {h: position for position, h in enumerate(distinct)}
            vectors = extraction.vectors[[place[hashes[row]] for row in rows]]
            store.put([item_ids[row] for row in rows], [hashes[row] for row in rows], vectors)
            truncated += extraction.truncated
    return EmbedReport(
        encoded=len(todo),
        unchanged=len(item_ids) - len(todo),
        truncated=truncated,
        seconds=time.monotonic() - started,
        encoder_id=spec.id,
    )


def load_content(
    config: Config, items: pl.DataFrame, progress: Progress | None = None
) -> NDArray[np.float16]:
    """Content vectors (n_items, C) in the order of `items`; embeds what is missing first."""
    embed_catalogue(config, items, progress)
    store = open_store(config)
    vectors, found = store.lookup(items[c.ITEM_ID].to_list())
    if not found.all():
        first = items[c.ITEM_ID][int(np.argmin(found))]
        raise DataError(
            f"{config.content}: {int((~found).sum())} items have no content vector, first {first}"
        )
    return vectors


def _shifted(progress: Progress | None, start: int, items_per_text: float, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, _texts: progress(start + round(done * items_per_text), total)
