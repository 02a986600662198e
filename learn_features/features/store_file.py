"""Feast's own settings file, read without Feast: project and online store, for processes on rows."""

import os
from pathlib import Path
from typing import Any, Final

import yaml

from learn_features.errors import ConfigError

SQLITE_STORE: Final = "learn_features.features.sqlite_online_store.SqliteOnlineStore"
REDIS_STORE: Final = "learn_features.features.redis_online_store.RedisOnlineStore"


def read_store_file(path: Path) -> dict[str, Any]:
    """`feature_store.yaml` as plain values, `${VARIABLE}` replaced as Feast does it, paths absolute.

    Relative paths of the registry and of an SQLite online store start from the folder of the file.
    Raises `ConfigError` if the file is missing, no mapping, or names no project.
    """
    try:
        values = yaml.safe_load(os.path.expandvars(path.read_text()))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; learn.yaml's `feature_store` must name it") from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if not isinstance(values, dict) or not isinstance(values.get("project"), str):
        raise ConfigError(f"{path}: must be a Feast settings file with a `project`")
    folder = path.resolve().parent
    online = values.get("online_store")
    if isinstance(online, dict) and isinstance(online.get("path"), str):
        online["path"] = str(folder / online["path"])
    registry = values.get("registry")
    if isinstance(registry, dict) and isinstance(registry.get("path"), str):
        registry["path"] = _absolute_registry(registry["path"], folder)
    elif isinstance(registry, str):
        values["registry"] = _absolute_registry(registry, folder)
    return values


def _absolute_registry(path: str, folder: Path) -> str:
    """A file path or a `sqlite:///relative` URL, made absolute; other URLs stay."""
    scheme, _, rest = path.partition(":///")
    if rest and scheme.startswith("sqlite"):
        return f"{scheme}:///{folder / rest}"
    return path if "://" in path else str(folder / path)
