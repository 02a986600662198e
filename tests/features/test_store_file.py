from pathlib import Path

import pytest

from learn_features.config import Config
from learn_features.errors import ConfigError
from learn_features.features.redis_rows import RedisRowStore
from learn_features.features.rows import open_row_store
from learn_features.features.sqlite_rows import SqliteRowStore
from learn_features.features.store_file import REDIS_STORE, SQLITE_STORE, read_store_file


def config(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "deep" / "feature_store.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return Config(feature_store=file)


def test_paths_start_from_the_folder_of_the_file(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        "project: p\nregistry: {path: 'sqlite:///../r.db'}\n"
        f"online_store: {{type: {SQLITE_STORE}, path: ../o.db}}\n",
    )
    values = read_store_file(made.feature_store)
    assert values["registry"]["path"] == f"sqlite:///{tmp_path}/deep/../r.db"
    store = open_row_store(made)
    assert isinstance(store, SqliteRowStore)
    assert store.path == tmp_path / "deep" / ".." / "o.db"
    absolute = read_store_file(
        config(tmp_path, "project: p\nregistry: {path: 'sqlite:////x/r.db'}\n").feature_store
    )
    assert absolute["registry"]["path"] == "sqlite:////x/r.db"
    remote = "postgresql+psycopg://db:5432/feast"
    assert (
        read_store_file(config(tmp_path, f"project: p\nregistry: {{path: '{remote}'}}\n").feature_store)[
            "registry"
        ]["path"]
        == remote
    )


def test_secrets_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD_FOR_TEST", "hunter2")
    text = (
        f"project: p\nonline_store: {{type: {REDIS_STORE}, url: 'redis://:${{PASSWORD_FOR_TEST}}@h:1/0'}}\n"
    )
    made = config(tmp_path, text)
    assert read_store_file(made.feature_store)["online_store"]["url"] == "redis://:hunter2@h:1/0"
    assert isinstance(open_row_store(made), RedisRowStore)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("project: p\nonline_store: {type: redis}\n", "online_store.type is redis"),
        ("project: p\nonline_store: sqlite\n", "online_store.type is sqlite"),
        (f"project: p\nonline_store: {{type: {REDIS_STORE}}}\n", "online_store.url is missing"),
        ("online_store: {}\n", "with a `project`"),
        ("a: [", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        open_row_store(config(tmp_path, text))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        open_row_store(Config(feature_store=tmp_path / "none.yaml"))
