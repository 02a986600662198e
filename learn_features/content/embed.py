"""A whole catalogue's content vectors: only new and changed texts are encoded.

An item whose fields are those that its vector was made from costs a look-up. The rest goes in blocks: their
texts are made and tokenised in a thread while the model computes the block before; each block is written as
a shard, every half minute or so, and a run that was killed goes on behind the last one.
"""

import hashlib
import logging
import operator
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.content import templates, tokens
from learn_features.content.ahead import ahead
from learn_features.content.bad_items import BadItems
from learn_features.content.key_index import KEY_BYTES, pairs
from learn_features.content.shards import Shards
from learn_features.content.sources import locate
from learn_features.content.spec import encoder_spec
from learn_features.content.store import ContentStore, Keys, content_hash
from learn_features.contracts import columns as c
from learn_features.errors import DataError

if TYPE_CHECKING:
    from learn_features.content.encoder import Encoder

_log = logging.getLogger(__name__)

SHARD_ITEMS = 4_096
"""Items of a shard at most."""
SHARD_SECONDS = 30.0
"""Time from one shard to the next, about: what a killed run does again."""
FIRST_ITEMS, FEWEST_ITEMS = 256, 32
"""Items of a run's first two shards, when its speed is not known yet, and of any later one."""
BLOCK_ITEMS = 65_536
"""Items that are compared with the store at once."""

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


@dataclass(frozen=True)
class Part:
    """Counts of some items."""

    items: int
    encoded: int = 0
    unchanged: int = 0
    truncated: int = 0
    tokens: int = 0
    descriptions_cut: int = 0


@dataclass(frozen=True)
class _Prepared:
    item_ids: list[str]
    sources: Keys
    hashes: list[bytes]
    distinct: dict[bytes, int]
    """Hash of each text → its row in `tokens`: equal texts are encoded once."""
    tokens: tokens.Tokens
    descriptions_cut: int


def open_store(config: Config) -> ContentStore:
    """The content store of the configured encoder."""
    spec = encoder_spec(config.encoder)
    return ContentStore(config.content, spec.id, spec.dimension)


class CatalogueEmbedder:
    """Brings the store up to date with items; of the encoder it loads only what the items need.

    Several may write into one store at the same time. Not thread-safe.
    """

    def __init__(
        self, config: Config, shard_items: int = SHARD_ITEMS, encoder: "Encoder | None" = None
    ) -> None:
        self._config = config
        self._shard_items = shard_items
        self._folder = locate(config.encoder).folder
        self.spec = encoder_spec(config.encoder)
        self.store = ContentStore(config.content, self.spec.id, self.spec.dimension)
        self.bad = BadItems()
        self._encoder = encoder
        self._next_items = FIRST_ITEMS

    def embed(self, items: pl.DataFrame, progress: Callable[[Part], None] | None = None) -> Iterator[Part]:
        """Encode what is new or changed in `items`; what was done, part by part, as it is written.

        `progress` is told of parts earlier, batch by batch. `StoreUnavailable` if they cannot be written.
        """
        for start in range(0, items.height, BLOCK_ITEMS):
            block = items[start : start + BLOCK_ITEMS]
            self.bad.add_questionable(block)
            item_ids = block[c.ITEM_ID].to_list()
            sources = source_keys(block)
            texts, known_sources, found = self.store.current(item_ids)
            same = found & (known_sources == sources).all(axis=1) & self.store.has_keys(texts)
            yield Part(items=int(same.sum()), unchanged=int(same.sum()))
            shards = self._shards(np.flatnonzero(~same))
            for ready in ahead(lambda rows: self._prepare(block[rows], sources[rows]), shards):  # noqa: B023
                yield self._finish(ready, progress)

    def _shards(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Parts of `rows` as large as speed allows."""
        start = 0
        while start < len(rows):
            stop = start + min(self._next_items, self._shard_items)
            yield rows[start:stop]
            start = stop

    def _prepare(self, items: pl.DataFrame, sources: Keys) -> _Prepared:
        cut, shortened = tokens.cutter_in(self._folder), 0

        def counted(descriptions: Sequence[str], limit: int) -> list[str]:
            nonlocal shortened
            short = cut(descriptions, limit)
            shortened += sum(map(operator.ne, descriptions, short))
            return short

        texts = templates.item_texts(items, self.spec, counted)
        hashes = [content_hash(text) for text in texts]
        first = {h: row for row, h in reversed(list(enumerate(hashes)))}
        tokenizer = tokens.TextTokenizer(self._folder, self.spec.max_tokens)
        return _Prepared(
            items[c.ITEM_ID].to_list(),
            sources,
            hashes,
            {h: place for place, h in enumerate(first)},
            tokenizer([texts[row] for row in first.values()]),
            shortened,
        )

    def _finish(self, ready: _Prepared, progress: Callable[[Part], None] | None) -> Part:
        known = self.store.has(ready.hashes)
        rows = np.flatnonzero(~known)
        wanted = list(dict.fromkeys(ready.hashes[row] for row in rows))
        truncated = spent = 0
        missing: dict[bytes, str] = {}
        if wanted:
            chosen = ready.tokens.take(np.array([ready.distinct[h] for h in wanted]))
            share = len(rows) / len(wanted)
            spent_by = np.concatenate([[0], np.cumsum(np.sort(chosen.lengths)[::-1])])  # longest first
            encoder, began = self._opened(), time.monotonic()
            extraction = encoder.extract_tokens(
                chosen,
                None
                if progress is None
                else lambda done, _: progress(Part(round(done * share), tokens=int(spent_by[done]))),
            )
            place = {h: position for position, h in enumerate(wanted)}
            speed = len(wanted) / max(time.monotonic() - began, 1e-3)
            self._next_items = max(FEWEST_ITEMS, int(speed * SHARD_SECONDS))
            missing = {wanted[row]: why for row, why in extraction.problems.items()}
            truncated = int(sum(extraction.truncated[place[ready.hashes[row]]] for row in rows))
            spent = extraction.tokens
            good = [row for row in rows if ready.hashes[row] not in missing]
            self.store.put(
                [ready.item_ids[row] for row in good],
                [ready.hashes[row] for row in good],
                extraction.vectors[[place[ready.hashes[row]] for row in good]],
                ready.sources[good],
            )
            for row in rows:
                if ready.hashes[row] in missing:
                    self.bad.without_vector(ready.item_ids[row], missing[ready.hashes[row]])
        pointed = np.flatnonzero(known)
        self.store.point(
            [ready.item_ids[row] for row in pointed],
            [ready.hashes[row] for row in pointed],
            ready.sources[pointed],
        )
        without = sum(ready.hashes[row] in missing for row in rows)
        return Part(
            len(ready.item_ids), len(rows) - without, len(pointed), truncated, spent, ready.descriptions_cut
        )

    def _opened(self) -> "Encoder":
        if self._encoder is None:
            from learn_features.content.encoder import open_encoder

            self._encoder = open_encoder(self._config.encoder)
        return self._encoder


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
    damaged = Shards(config.content, spec.id).set_aside_damaged()
    embedder = CatalogueEmbedder(config, shard_items)
    listed = bad_items or bad_items_file(config)
    parts: list[Part] = []

    def show(part: Part | None = None) -> None:
        done = sum(one.items for one in parts) + (part.items if part else 0)
        if progress is not None and done:
            progress(done, max(total, done))
        if on_tokens is not None:
            on_tokens(sum(one.tokens for one in parts) + (part.tokens if part else 0))

    try:
        for block in blocks:
            for part in embedder.embed(block, show):
                parts.append(part)
                show()
    finally:
        write_list(embedder.bad, listed)
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
    """Content vectors (n_items, C) in the order of `items`; embeds what is missing first."""
    embed_catalogue(config, items, progress)
    store = open_store(config)
    vectors, found = store.lookup(items[c.ITEM_ID].to_list())
    if not found.all():
        first = items[c.ITEM_ID][int(np.argmin(found))]
        raise DataError(
            f"{config.content}: {int((~found).sum())} items have no content vector, first {first}; "
            f"{bad_items_file(config)} says why"
        )
    return vectors


def source_keys(items: pl.DataFrame) -> Keys:
    """Keys (n, 2) of the fields that each item's text is made from."""
    sources = templates.source_texts(items)
    return pairs([hashlib.blake2b(one.encode(), digest_size=KEY_BYTES).digest() for one in sources])


def write_list(bad: BadItems, uri: str) -> None:
    """Write the list of bad items, or say in the log why not."""
    try:
        bad.write(uri)
    except OSError as error:  # the run's own outcome matters more
        _log.warning("%s: the list of bad items cannot be written: %s", uri, error)
