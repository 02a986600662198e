"""Settings from environment variables."""

import os
from collections.abc import Sequence
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel

from learn_features.errors import ConfigError

ENVIRONMENT_PREFIX = "LEARN_"


def merge_environment(values: dict[str, Any], settings: type[BaseModel], *, leaving_out: str) -> None:
    """LEARN_SECTION__KEY over `values` of `settings`: collections as YAML, everything else as it stands.

    The variable `leaving_out` is no setting. Raises `ConfigError` that names the variable.
    """
    for variable, text in os.environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == leaving_out:
            continue
        *sections, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        target = values
        for section in sections:
            if target.get(section) is None:  # not there, or there with nothing behind it
                target[section] = {}
            target = target[section]
            if not isinstance(target, dict):
                raise ConfigError(f"{variable}: {section} is not a section of the settings")
        target[key] = _collection(variable, text) if _holds_collection(settings, [*sections, key]) else text


def _holds_collection(section: type[BaseModel], path: Sequence[str]) -> bool:
    """Whether the setting at `path` is a list or mapping; what is within one may be."""
    for name in path:
        field = section.model_fields.get(name)
        if field is None:
            return False
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            kinds = {get_origin(part) or part for part in (field.annotation, *get_args(field.annotation))}
            return bool(kinds & {dict, list, tuple})
        section = field.annotation
    return False


def _collection(variable: str, text: str) -> Any:
    """What `text` says; a scalar stays text. `ConfigError` without it: it may be a secret."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"{variable}: is no YAML list or mapping; check brackets and quotes") from None
