"""Towers to and from a folder: safetensors and JSON, no pickle."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import torch
from fsspec.implementations.local import LocalFileSystem
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from learn_features.contracts import manifest
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.run_files import (
    CHECKPOINT_FOLDER,
    CHECKPOINT_STATE_FILE,
    RUN_FILE,
    RUN_WEIGHTS_FILE,
)
from learn_features.durable import sha256_of, whole
from learn_features.errors import BundleError, MissingDependency, problems
from learn_features.towers.config import TowerConfig
from learn_features.towers.identity import space_id, weights_sha256
from learn_features.towers.model import Towers
from learn_features.towers.residuals import ItemResiduals

LENDING = ("item.similar.contents", "item.similar.audiences")
"""Tensors with a row for each known item that lends to new ones; how many there are is the data's."""

_Model = TypeVar("_Model", bound=BaseModel)


def tensors(towers: Towers) -> dict[str, Tensor]:
    """Every parameter and buffer once, under its first name, on the CPU, contiguous."""
    named = [*towers.named_parameters(), *towers.named_buffers()]
    return {name: tensor.detach().cpu().contiguous() for name, tensor in named}


def save_towers(towers: Towers, file: Path) -> None:
    """Write the weights to `file`, whole or not at all."""
    with whole(file) as aside:
        aside.write_bytes(to_safetensors(tensors(towers)))


def load_towers(folder: str | Path) -> Towers:
    """The towers of a training run's folder or of a bundle (path or fsspec URI), ready for inference.

    Raises `BundleError` if files are missing, altered, or of another architecture than they say.
    """
    about = describe(folder)
    is_bundle = "files" in about
    name = manifest.WEIGHTS_FILE if is_bundle else RUN_WEIGHTS_FILE
    config = tower_config(folder, about)
    if is_bundle:
        raw = _read(folder, name)
        if hashlib.sha256(raw).hexdigest() != about["files"].get(name):
            raise BundleError(f"{folder}/{name}: its digest is not the manifest's; fetch the bundle again")
    else:
        with _at_hand(folder, name, *([manifest.RESIDUALS_FILE] if config.residuals else [])) as here:
            check_run(here, about, named=folder)
            raw = _read(here, name)
    towers = Towers(config)
    try:
        restore(towers, from_safetensors(raw))
    except (SafetensorError, BundleError) as error:
        raise BundleError(f"{folder}/{name}: {error}") from None
    return towers.eval()


def load_residuals(folder: str | Path) -> ItemResiduals | None:
    """The item residuals of a run's folder or of a bundle (path or fsspec URI); None: its towers have none.

    Raises `BundleError` if they are missing, altered, or of another width than the towers.
    """
    about = describe(folder)
    config = tower_config(folder, about)
    if not config.residuals:
        return None
    with _at_hand(folder, manifest.RESIDUALS_FILE) as here:
        file = here / manifest.RESIDUALS_FILE  # stays mapped when its name is gone
        residuals = ItemResiduals.load(file, config.dimension)
        if "files" in about and sha256_of(file) != about["files"].get(file.name):
            raise BundleError(
                f"{folder}/{file.name}: its digest is not the manifest's; fetch the bundle again"
            )
    return residuals


@contextmanager
def _at_hand(folder: str | Path, *names: str) -> Iterator[Path]:
    """A local folder with the files `names` of `folder`: itself, or copies. Raises `BundleError`."""
    filesystem, path = fsspec.url_to_fs(str(folder).rstrip("/"))
    if isinstance(filesystem, LocalFileSystem):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="learn-features-") as aside:
        for name in names:
            try:
                filesystem.get_file(f"{path}/{name}", f"{aside}/{name}")
            except OSError as error:
                raise BundleError(f"{folder}/{name}: cannot be read: {error}") from None
        yield Path(aside)


def check_run(folder: Path, about: Mapping[str, Any], named: str | Path | None = None) -> None:
    """`BundleError`, of the folder as it is `named`, unless the weights and residuals there are those that
    `run.json` was written with."""
    residuals = folder / manifest.RESIDUALS_FILE if tower_config(folder, about).residuals else None
    try:
        digest = weights_sha256(folder / RUN_WEIGHTS_FILE, residuals)
    except OSError as error:
        raise BundleError(f"{error.filename}: cannot be read ({error.strerror}); train again") from None
    if digest != about.get("weights_sha256"):
        raise BundleError(
            f"{named or folder}: weights or residuals are not those that {RUN_FILE} was written with; train "
            "again, with --fresh"
        )


def restore(towers: Towers, saved: Mapping[str, Tensor]) -> None:
    """Copy `saved` tensors into `towers`; `BundleError` unless they are finite, and names and shapes exactly
    theirs."""
    own = _own(towers)
    if own.keys() != saved.keys():
        differing = sorted(own.keys() ^ saved.keys())
        raise BundleError(f"weights of another architecture: {len(differing)} names differ, {differing[:3]}")
    lending = saved[LENDING[0]].shape[:1] if LENDING[0] in saved else ()
    for name, tensor in sorted(saved.items()):
        needed = (*lending, *own[name].shape[1:]) if name in LENDING else tuple(own[name].shape)
        if needed != tuple(tensor.shape):
            raise BundleError(
                f"weights of another architecture: {name} is {tuple(tensor.shape)} where {needed} is needed"
            )
    broken = [name for name, tensor in sorted(saved.items()) if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise BundleError(f"{len(broken)} of {len(saved)} weights are not finite, {broken[:3]}; train anew")
    if lending and towers.item.similar is not None:
        towers.item.similar.make_room(*lending)
        own = _own(towers)
    with torch.no_grad():
        for name, tensor in saved.items():
            own[name].copy_(tensor)


def _own(towers: Towers) -> dict[str, Tensor]:
    return {**dict(towers.named_parameters()), **dict(towers.named_buffers())}


def describe(folder: str | Path) -> dict[str, Any]:
    """`run.json` of a run or `manifest.json` of a bundle; both hold `towers`, `encoder`, `history`."""
    try:
        filesystem, path = fsspec.url_to_fs(str(folder))
    except ImportError as error:
        raise MissingDependency(f"{folder}: cannot be read without a package: {error}") from None
    for name in (manifest.MANIFEST_FILE, RUN_FILE):
        if filesystem.exists(f"{path}/{name}"):
            try:
                about = json.loads(_read(folder, name))
            except ValueError as error:
                raise BundleError(f"{folder}/{name}: is not a JSON object: {error}") from None
            if not isinstance(about, dict):
                raise BundleError(f"{folder}/{name}: is not a JSON object")
            if name == manifest.MANIFEST_FILE and about.get("format", manifest.FORMAT) != manifest.FORMAT:
                raise BundleError(
                    f"{folder}/{name}: has format {about['format']}, this release {manifest.FORMAT}"
                )
            return about
    if filesystem.exists(f"{path}/{CHECKPOINT_FOLDER}/{CHECKPOINT_STATE_FILE}"):
        raise BundleError(f"{folder}: its training is not finished; give the same train command again")
    raise BundleError(
        f"{folder}: neither a bundle ({manifest.MANIFEST_FILE}) nor a training run ({RUN_FILE}) is there"
    )


def tower_config(folder: str | Path, about: Mapping[str, Any]) -> TowerConfig:
    """The architecture named in what `describe` returned."""
    return _part(folder, about, "towers", TowerConfig)


def history_rule(folder: str | Path, about: Mapping[str, Any]) -> HistoryRule:
    """The history rule named in what `describe` returned."""
    return _part(folder, about, "history", HistoryRule)


def encoder_of(folder: str | Path, about: Mapping[str, Any]) -> manifest.EncoderSpec:
    """The content encoder named in what `describe` returned."""
    return _part(folder, about, "encoder", manifest.EncoderSpec)


def run_space_id(folder: str | Path, about: Mapping[str, Any]) -> str:
    """Id of the space that a run, or the bundle made of it, is."""
    encoder, history = encoder_of(folder, about), history_rule(folder, about)
    return space_id(encoder, history, towers_as_written(folder, about), about.get("weights_sha256", ""))


def towers_as_written(folder: str | Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture in what `describe` returned, as a space has it: without settings that came later,
    which would give an old run another id."""
    return tower_config(folder, about).model_dump(mode="json", exclude_unset=True)


def _part(folder: str | Path, about: Mapping[str, Any], part: str, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(about.get(part))
    except ValidationError as error:
        wrong = "; ".join(problems(error, part, named=True)[:5])
        raise BundleError(f"{folder}: is damaged, or of another release ({wrong})") from None


def _read(folder: str | Path, name: str) -> bytes:
    try:
        with fsspec.open(f"{str(folder).rstrip('/')}/{name}", "rb") as file:
            raw: bytes = file.read()
            return raw
    except OSError as error:
        raise BundleError(f"{folder}/{name}: cannot be read: {error}") from None
