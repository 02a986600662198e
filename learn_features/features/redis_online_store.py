"""Feast online store in Redis.

online_store:
  type: learn_features.features.redis_online_store.RedisOnlineStore
  url: redis://:${REDIS_PASSWORD}@redis:6379/0
"""

from typing import Literal

from feast import RepoConfig
from feast.repo_config import FeastConfigBaseModel

from learn_features.features.redis_rows import RedisRowStore
from learn_features.features.row_online_store import RowOnlineStore
from learn_features.features.row_store import RowStore
from learn_features.features.store_file import REDIS_STORE


class RedisOnlineStoreConfig(FeastConfigBaseModel):
    type: Literal["learn_features.features.redis_online_store.RedisOnlineStore"] = REDIS_STORE
    url: str
    """`redis://`, `rediss://` or `unix://`."""


class RedisOnlineStore(RowOnlineStore):
    def place(self, config: RepoConfig) -> str:
        return str(config.online_store.url)

    def open_rows(self, config: RepoConfig) -> RowStore:
        return RedisRowStore(config.online_store.url, config.project)
