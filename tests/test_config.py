"""Settings: one file, the environment above it, unknown keys refused, secrets masked."""

from pathlib import Path

import pytest

from learn_features import config
from learn_features.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for variable in list(os.environ):
        if variable.startswith("LEARN_"):
            monkeypatch.delenv(variable)


def _file(folder: Path, text: str) -> Path:
    path = folder / "learn.yaml"
    path.write_text(text)
    return path


def test_defaults_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load().state == str(tmp_path / "var/state")


def test_paths_start_from_the_files_folder_and_uris_stay(tmp_path: Path) -> None:
    path = _file(tmp_path, "state: s3://bucket/x\nfeature_store: repo/feature_store.yaml\n")
    loaded = config.load(path)
    assert loaded.bundles == "s3://bucket/x/bundles"
    assert loaded.feature_store == tmp_path / "repo/feature_store.yaml"


def test_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path, "kafka:\n  bootstrap_servers: a:1\n  max_batch: 7\n")
    monkeypatch.setenv("LEARN_KAFKA__BOOTSTRAP_SERVERS", "b:2")
    kafka = config.load(path).kafka
    assert (kafka.bootstrap_servers, kafka.max_batch) == ("b:2", 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kafak: {}\n", "kafak"),
        ("kafka:\n  bootstrap: x\n", "kafka.bootstrap"),
        ("- a\n", "mapping"),
        ("a: [\n", "cannot be read"),
        ("kafka:\n  sasl_password: x\n", "LEARN_KAFKA__SASL_PASSWORD"),
        ("kafka:\n  security_protocol: SASL_SSL\n", "SASL needs"),
        ("kafka:\n  sasl_username: x\n", "security_protocol is PLAINTEXT"),
        ("kafka:\n  ssl_cafile: ca.pem\n", "ssl_cafile given, but security_protocol is PLAINTEXT"),
        ("kafka:\n  security_protocol: SSL\n  ssl_keyfile: k\n", "without ssl_certfile"),
        ("kafka:\n  topics: {clicks: x}\n", "topics names .*clicks"),
        ("kafka:\n  fields: {clicks: {}}\n", "fields names .*clicks"),
        ("kafka:\n  fields: {items: {sku: x}}\n", r"fields\.items names .*sku.*item_id"),
    ],
)
def test_wrong_settings_name_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as raised:
        config.load(path)
    assert str(path) in str(raised.value)


def test_certificates_start_from_the_files_folder(tmp_path: Path) -> None:
    text = "kafka:\n  security_protocol: SSL\n  ssl_cafile: tls/ca.pem\n  ssl_certfile: /etc/tls/own.pem\n"
    kafka = config.load(_file(tmp_path, text)).kafka
    assert (kafka.ssl_cafile, kafka.ssl_certfile) == (tmp_path / "tls/ca.pem", Path("/etc/tls/own.pem"))


def test_unknown_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARN_KAFKA__NOVELTY", "1")
    with pytest.raises(ConfigError, match=r"kafka\.novelty"):
        config.load(_file(tmp_path, ""))


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        config.load(tmp_path / "absent.yaml")


def test_secrets_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARN_KAFKA__SASL_PASSWORD", "hunter2")
    path = _file(
        tmp_path,
        "kafka: {security_protocol: SASL_SSL, sasl_mechanism: PLAIN, sasl_username: me}\n",
    )
    loaded = config.load(path)
    assert loaded.kafka.sasl_password is not None
    assert loaded.kafka.sasl_password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(loaded) + str(loaded.masked())


def test_only_collections_are_read_as_yaml_and_no_value_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path, "kafka: {security_protocol: SASL_SSL, sasl_mechanism: PLAIN, sasl_username: me}\n")
    monkeypatch.setenv("LEARN_KAFKA__SASL_PASSWORD", "{s3cr3t")
    monkeypatch.setenv("LEARN_ENCODER__TEMPLATE", "{title} is a {category}")
    monkeypatch.setenv("LEARN_TRAINING__TOWERS", "{width: 32}")
    monkeypatch.setenv("LEARN_DATA__ITEM_ATTRIBUTES", "[year, colour]")
    loaded = config.load(path)
    assert loaded.kafka.sasl_password is not None
    assert loaded.kafka.sasl_password.get_secret_value() == "{s3cr3t"
    assert loaded.encoder.template == "{title} is a {category}"
    assert loaded.training.towers == {"width": 32}
    assert loaded.data.item_attributes == ("year", "colour")
    monkeypatch.setenv("LEARN_TRAINING__TOWERS", "{width: s3cr3t")
    with pytest.raises(ConfigError, match="LEARN_TRAINING__TOWERS: is no YAML list or mapping") as raised:
        config.load(path)
    assert "s3cr3t" not in str(raised.value)


def test_an_empty_section_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARN_KAFKA__BOOTSTRAP_SERVERS", "b:2")
    loaded = config.load(_file(tmp_path, "kafka:\ntraining:\n  towers:\n  preset: paper-small\n"))
    assert loaded.training.towers == {}
    assert loaded.training.preset == "paper-small"
    assert loaded.kafka.bootstrap_servers == "b:2"
