"""The folder of a demo run: its layout, its settings files, and emptying it safely."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from learn_features import config as settings
from learn_features.config import Config
from learn_features.errors import ConfigError
from learn_features.features.store_file import REDIS_STORE, SQLITE_STORE
from learn_features.services import play

_MARKER = ".learn-features-demo"
_OWN_SECTIONS = ("data", "history", "encoder", "training")


@dataclass(frozen=True)
class Workspace:
    """Paths below one folder."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def config_file(self) -> Path:
        return self.folder / "learn.yaml"

    @property
    def feature_store_file(self) -> Path:
        return self.folder / "feature_store.yaml"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def airflow_home(self) -> Path:
        return self.folder / "airflow"

    @property
    def kafka(self) -> Path:
        return self.folder / "kafka"

    @property
    def redis(self) -> Path:
        return self.folder / "redis"

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def summary(self) -> Path:
        return self.folder / "summary.json"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """One demo at a time in a folder: `ConfigError` where another runs."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{folder}: another demo runs there; wait for it, or name another with --out"
            ) from None
        yield


def fresh(folder: Path) -> Workspace:
    """An empty workspace. Raises `ConfigError` rather than empty a folder that no demo has made."""
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARKER).exists():
        raise ConfigError(f"{folder}: is not empty and was not made by the demo; name another with --out")
    if play.running(folder) is not None:
        raise ConfigError(f"{folder}: its world is running; stop it first: make stop")
    shutil.rmtree(folder, ignore_errors=True)
    for path in (folder, folder / "logs", folder / "runs"):
        path.mkdir(parents=True)
    (folder / _MARKER).write_text("Made by `learn-features demo`, which empties it at each start.\n")
    return Workspace(folder)


def write_settings(workspace: Workspace, bootstrap_servers: str, redis_url: str | None) -> Config:
    """Write learn.yaml and feature_store.yaml for the demo's own services; the effective settings.

    How data are read, embedded and learnt from is the caller's own (./learn.yaml, LEARN_CONFIG). The
    quality gate is open unless set there: a demo shows the figures of any data instead of stopping.
    """
    own = settings.load().model_dump(mode="json", exclude_unset=True, include=set(_OWN_SECTIONS))
    own["training"] = {"min_lift_over_popularity": 0.0} | own.get("training", {})
    _write_yaml(
        workspace.config_file,
        {
            "state": "state",
            "feature_store": workspace.feature_store_file.name,
            "kafka": {"bootstrap_servers": bootstrap_servers, "flush_seconds": 10},
            **own,
        },
    )
    _write_yaml(workspace.feature_store_file, feature_store_settings(redis_url))
    return settings.load(workspace.config_file)


def feature_store_settings(redis_url: str | None) -> dict[str, Any]:
    """Feast's settings of an embedded installation; the online store is SQLite without `redis_url`."""
    online = {"type": SQLITE_STORE, "path": "online.db"}
    if redis_url is not None:
        online = {"type": REDIS_STORE, "url": redis_url}
    return {
        "project": "learn_features_demo",
        "provider": "local",
        "registry": {
            "registry_type": "sql",
            "path": "sqlite:///registry.db",
            "cache_ttl_seconds": 2,
            "cache_mode": "sync",
            "serve_features_while_materializing": True,
        },
        "online_store": online,
        "offline_store": {"type": "duckdb"},
        "materialization": {"pull_latest_features": True},
        "entity_key_serialization_version": 3,
    }


def _write_yaml(path: Path, values: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(values, sort_keys=False))
