"""Items → content vectors in the store, of what is new or changed among them, shard by shard.

An item whose fields are those that its vector was made from costs a look-up. The rest goes in parts: their
texts are made and tokenised in a thread while the model computes the part before; each is written as a shard,
every half minute or so.
"""

import hashlib
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.content import templates, tokens
from learn_features.content.ahead import ahead
from learn_features.content.bad_items import BadItems
from learn_features.content.key_index import KEY_BYTES, pairs
from learn_features.content.sources import locate
from learn_features.content.spec import encoder_spec
from learn_features.content.store import ContentStore, Keys, content_hash
from learn_features.contracts import columns as c

if TYPE_CHECKING:
    from learn_features.content.encoder import Encoder

SHARD_ITEMS = 4_096
"""Items of a shard at most."""
SHARD_SECONDS = 30.0
"""Time from one shard to the next, about: what a killed run does again."""
FIRST_ITEMS, FEWEST_ITEMS = 256, 32
"""Items of a run's first two shards, when its speed is not known yet, and of any later one."""
BLOCK_ITEMS = 65_536
"""Items that are compared with the store at once."""


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


def source_keys(items: pl.DataFrame) -> Keys:
    """Keys (n, 2) of the fields that each item's text is made from."""
    sources = templates.source_texts(items)
    return pairs([hashlib.blake2b(one.encode(), digest_size=KEY_BYTES).digest() for one in sources])
