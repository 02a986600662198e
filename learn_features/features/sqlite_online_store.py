"""Feast online store in one SQLite file: the embedded default.

online_store:
  type: learn_features.features.sqlite_online_store.SqliteOnlineStore
  path: online.db
"""

from pathlib import Path
from typing import Literal

from feast import RepoConfig
from feast.repo_config import FeastConfigBaseModel

from learn_features.features.row_online_store import RowOnlineStore
from learn_features.features.row_store import RowStore
from learn_features.features.sqlite_rows import SqliteRowStore
from learn_features.features.store_file import SQLITE_STORE


class SqliteOnlineStoreConfig(FeastConfigBaseModel):
    type: Literal["learn_features.features.sqlite_online_store.SqliteOnlineStore"] = SQLITE_STORE
    path: str
    """The file; relative paths start from the folder of feature_store.yaml."""


class SqliteOnlineStore(RowOnlineStore):
    def place(self, config: RepoConfig) -> str:
        return str(Path(config.repo_path or ".").resolve() / config.online_store.path)

    def open_rows(self, config: RepoConfig) -> RowStore:
        return SqliteRowStore(self.place(config))
