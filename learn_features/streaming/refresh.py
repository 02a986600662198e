"""Refreshes from outside the consumers: of stale users after a roll-out, nightly, after a restore."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from learn_features.config import Config
from learn_features.contracts import online
from learn_features.features import roll_out
from learn_features.features.rows import open_row_store
from learn_features.release.deployment import DeploymentStore
from learn_features.streaming.producers import Producer


@contextmanager
def refreshes(config: Config) -> Iterator[Callable[[str], None] | None]:
    """Sends `user_refresh` records; None where no consumer has ever left a checkpoint."""
    if not _consumed(config):
        yield None
        return
    with Producer(config) as producer:
        yield producer.refresh


def sweep_spaces(config: Config, wait_seconds: float = 60) -> dict[str, int]:
    """Refresh the stale users of every filling and ready space; how many, by space id."""
    swept = {}
    with refreshes(config) as send:
        for space_id in DeploymentStore(config.deployment).read().embedded_spaces:
            swept[space_id] = 0 if send is None else roll_out.sweep(config, space_id, send, wait_seconds)
    return swept


def _consumed(config: Config) -> bool:
    rows = open_row_store(config)
    try:
        [checkpoints] = rows.read_rows([online.CHECKPOINT_KEY])
    finally:
        rows.close()
    return any("/" in field for field in checkpoints)
