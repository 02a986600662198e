"""A catalogue from table to store: how much lies outside the model, and what a change of 1 % costs."""

import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learn_features.config import Config, EncoderConfig
from learn_features.content.catalogue_embedder import CatalogueEmbedder
from learn_features.content.encoder import Encoder
from learn_features.contracts import columns as c


def measure(
    rows: list[dict[str, Any]],
    claims: dict[str, float],
    config: EncoderConfig,
    encoder: Encoder,
    items: pl.DataFrame,
) -> None:
    """A catalogue from table to store with a warm encoder, then with 1 % of its titles changed."""
    busy = _Busy(encoder)
    with tempfile.TemporaryDirectory() as place:
        settings = Config(state=place, encoder=config)
        seconds, encoded = [], []
        changed = pl.int_range(pl.len()) % 100 == 0
        again = items.with_columns(
            pl.when(changed).then(pl.col(c.TITLE) + " (new)").otherwise(c.TITLE).alias(c.TITLE)
        )
        for table in (items, again):
            started = time.perf_counter()
            parts = list(CatalogueEmbedder(settings, encoder=encoder).embed(table))
            seconds.append(time.perf_counter() - started)
            encoded.append(sum(part.encoded for part in parts))
            if len(seconds) == 1:
                outside = 1 - busy.seconds / encoder.model.workers / seconds[0]
                tokens = sum(part.tokens for part in parts)
    busy.stop()
    rows.append(
        {
            "what": "catalogue → store",
            "items": items.height,
            "items_per_second": items.height / seconds[0],
            "tokens_per_second": tokens / seconds[0],
            "seconds": seconds[0],
        }
    )
    rows.append({"what": "the same, 1 % changed", "items": encoded[1], "seconds": seconds[1]})
    claims["share_outside_model"] = max(0.0, outside)
    claims["reembed_1pct_cost"] = seconds[1] / seconds[0]


class _Busy:
    """Seconds that threads spend in the model."""

    def __init__(self, encoder: Encoder) -> None:
        self.seconds = 0.0
        self._model, self._begin = encoder.model, encoder.model.begin
        encoder.model.begin = self._timed  # type: ignore[method-assign]

    def _timed(self, texts: Sequence[NDArray[np.int32]]) -> Callable[[], NDArray[np.floating]]:
        started = time.perf_counter()
        wait = self._begin(texts)
        self.seconds += time.perf_counter() - started

        def waited() -> NDArray[np.floating]:
            since = time.perf_counter()
            vectors = wait()
            self.seconds += time.perf_counter() - since
            return vectors

        return waited

    def stop(self) -> None:
        self._model.begin = self._begin  # type: ignore[method-assign]
