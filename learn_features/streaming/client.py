"""Connection options of the cluster, for every client this package opens."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from learn_features.config import KafkaConfig
from learn_features.errors import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

_BOOTSTRAP_MS = 15_000


def connection(config: KafkaConfig) -> dict[str, Any]:
    """Keyword arguments for kafka-python's clients."""
    secret = config.sasl_password
    return {
        "bootstrap_servers": [server.strip() for server in config.bootstrap_servers.split(",")],
        "bootstrap_timeout_ms": _BOOTSTRAP_MS,
        "client_id": config.group_prefix,
        "security_protocol": config.security_protocol,
        "ssl_cafile": str(config.ssl_cafile) if config.ssl_cafile else None,
        "ssl_certfile": str(config.ssl_certfile) if config.ssl_certfile else None,
        "ssl_keyfile": str(config.ssl_keyfile) if config.ssl_keyfile else None,
        "sasl_mechanism": config.sasl_mechanism,
        "sasl_plain_username": config.sasl_username,
        "sasl_plain_password": secret.get_secret_value() if secret else None,
    }


@contextmanager
def admin(config: KafkaConfig) -> Iterator["KafkaAdminClient"]:
    """An admin client; broker trouble inside the block is `StoreUnavailable` or `ConfigError`."""
    from kafka.admin import KafkaAdminClient

    with translated(config):
        client = KafkaAdminClient(**connection(config))
        try:
            yield client
        finally:
            client.close()


@contextmanager
def translated(config: KafkaConfig) -> Iterator[None]:
    """Errors of kafka-python as this package's: `ConfigError` for rights, else `StoreUnavailable`."""
    from kafka import errors as problems

    try:
        yield
    except (problems.AuthorizationError, problems.SaslAuthenticationFailedError) as error:
        raise ConfigError(
            f"Kafka at {config.bootstrap_servers} refuses: {_text(error)}; check the rights and credentials"
        ) from error
    except problems.UnsupportedCodecError as error:
        raise ConfigError(
            f"Kafka at {config.bootstrap_servers} has records that cannot be unpacked: {_text(error)}; "
            "install the extra `stream` (lz4, python-snappy, zstandard)"
        ) from error
    except (problems.KafkaError, OSError) as error:
        raise StoreUnavailable(
            f"Kafka at {config.bootstrap_servers}: {_text(error)}; check that it runs and can be reached"
        ) from error


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
