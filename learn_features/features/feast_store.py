"""The one place that opens Feast's FeatureStore, with what Feast 0.67 needs to be told."""

import atexit
import gc
import logging
import sys
import uuid
from pathlib import Path
from typing import Any

from learn_features.config import Config
from learn_features.errors import ConfigError
from learn_features.features.store_file import read_store_file

ROWS_A_WRITE = 10_000


def open_feature_store(config: Config) -> Any:
    """A `feast.FeatureStore` on the configured feature_store.yaml.

    Paths start from the file's folder. Materialisation takes the latest row per entity, in batches:
    unbatched, Feast keeps only the first chunk of an Arrow table. Raises `ConfigError`.
    """
    from feast import FeatureStore, RepoConfig
    from feast.errors import FeastError
    from pydantic import ValidationError

    values = read_store_file(config.feature_store)
    materialization = values.setdefault("materialization", {})
    materialization["pull_latest_features"] = True
    materialization.setdefault("online_write_batch_size", ROWS_A_WRITE)
    _create_folder_of(values.get("registry"))
    logging.getLogger("feast").setLevel(logging.WARNING)
    try:
        repo = RepoConfig(**values)
        repo.repo_path = config.feature_store.resolve().parent
        store = FeatureStore(config=repo)
        _renew_list_caches(store.registry)
    except (FeastError, ValidationError) as error:
        raise ConfigError(f"{config.feature_store}: Feast cannot open it: {error}") from None
    atexit.unregister(_forget_connection)
    atexit.register(_forget_connection)
    return store


def _forget_connection() -> None:
    """Let go of ibis' connection before the interpreter ends: DuckDB would print pages about leaks."""
    ibis = sys.modules.get("ibis")
    if ibis is not None and ibis.options.default_backend is not None:
        ibis.options.default_backend.disconnect()
        ibis.options.default_backend = None
        gc.collect()


def _renew_list_caches(registry: Any) -> None:
    """Give each state of the registry a version of its own.

    Feast caches its lists by `version_id`, which the SQL registry never sets: after an apply, reads in
    the same process would fail at random with KeyError.
    """
    read = registry.proto

    def proto() -> Any:
        state = read()
        state.version_id = uuid.uuid4().hex
        return state

    registry.proto = proto
    registry.refresh()


def _create_folder_of(registry: Any) -> None:
    path = registry.get("path") if isinstance(registry, dict) else registry
    if isinstance(path, str) and path.startswith("sqlite") and ":///" in path:
        Path(path.partition(":///")[2]).parent.mkdir(parents=True, exist_ok=True)
