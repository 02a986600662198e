"""Opens the row store that `feature_store.yaml` names, without Feast."""

from learn_features.config import Config
from learn_features.errors import ConfigError
from learn_features.features.redis_rows import RedisRowStore
from learn_features.features.row_store import RowStore
from learn_features.features.sqlite_rows import SqliteRowStore
from learn_features.features.store_file import REDIS_STORE, SQLITE_STORE, read_store_file


def open_row_store(config: Config) -> RowStore:
    """The rows behind Feast's online store; nothing is contacted yet.

    Raises `ConfigError` where the file names another store than this project's two.
    """
    path = config.feature_store
    values = read_store_file(path)
    online = values.get("online_store")
    kind = online.get("type") if isinstance(online, dict) else online
    if not isinstance(online, dict) or kind not in (SQLITE_STORE, REDIS_STORE):
        raise ConfigError(
            f"{path}: online_store.type is {kind}; "
            f"streams and fast reads need {SQLITE_STORE} or {REDIS_STORE}"
        )
    setting = "path" if kind == SQLITE_STORE else "url"
    place = online.get(setting)
    if not isinstance(place, str) or not place:
        raise ConfigError(f"{path}: online_store.{setting} is missing")
    if kind == SQLITE_STORE:
        return SqliteRowStore(place)
    return RedisRowStore(place, values["project"])
