"""Feast's own `materialize`, with the start and end that the log has.

Without them Feast starts 52 weeks back and skips what is older without a word.
"""

import contextlib
import io
import warnings
from collections.abc import Sequence
from typing import Any

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import times
from learn_features.errors import StoreUnavailable
from learn_features.features.offline_log import OfflineLog

MARGIN_US = 1_000_000


def materialise(config: Config, store: Any, views: Sequence[str]) -> dict[str, int]:
    """Copy the latest row of each entity of `views` into the online store; rows there by view.

    Repeating it changes nothing, and rows that a stream wrote since stay. `store` is a FeatureStore.
    """
    from feast.errors import FeastError

    log, counts = OfflineLog(config.offline), {}
    for view in views:
        rows = log.embeddings(view)
        counts[view] = rows[rows.columns[0]].n_unique()
        if not rows.height:
            continue
        first, last = rows[c.AS_OF].to_physical().min(), rows[c.AS_OF].to_physical().max()
        start = times.from_us(int(first) - MARGIN_US)  # type: ignore[arg-type]
        end = times.from_us(int(last) + MARGIN_US)  # type: ignore[arg-type]
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # ibis calls methods that DuckDB deprecates
                store.materialize(start_date=start, end_date=end, feature_views=[view])
        except FeastError as error:
            raise StoreUnavailable(f"Feast could not materialise {view}: {error}; run it again") from error
    return counts
