"""Bundles: an embedding space as an immutable folder. Opening verifies everything; no torch."""

import hashlib
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem
from pydantic import ValidationError

from learn_features.contracts import manifest as m
from learn_features.contracts.manifest import Manifest
from learn_features.durable import sha256_of, sync
from learn_features.errors import BundleError, problems
from learn_features.release.onnx_file import check_self_contained
from learn_features.towers.identity import weights_sha256
from learn_features.towers.residuals import ItemResiduals


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. `folder` is where its files lie on this machine."""

    uri: str
    folder: Path
    manifest: Manifest

    @property
    def space_id(self) -> str:
        return self.manifest.space_id

    def read(self, name: str) -> bytes:
        """A file's bytes, verified once more, so that what is used is what was checked."""
        raw = (self.folder / name).read_bytes()
        if hashlib.sha256(raw).hexdigest() != self.manifest.files.get(name):
            raise BundleError(f"{self.folder / name}: has changed since the bundle was opened")
        return raw


def open_bundle(uri: str, cache: Path | None = None) -> Bundle:
    """Open the bundle at a local path or fsspec URI; remote ones are copied once into `cache`.

    Raises `BundleError` if a file is missing, altered or not expected, if the manifest has unknown
    fields or does not belong to the weights, or if an ONNX file refers to data outside itself.
    """
    filesystem, path = fsspec.core.url_to_fs(uri)
    if isinstance(filesystem, LocalFileSystem):
        folder = Path(path)
        return Bundle(uri, folder, verified(folder))
    cache = cache or Path.home() / ".cache" / "learn-features" / "bundles"
    folder = cache / hashlib.sha256(uri.encode()).hexdigest()[:16]
    if not (folder / m.MANIFEST_FILE).exists():
        _fetch(filesystem, path, folder, uri)
    try:
        return Bundle(uri, folder, verified(folder))
    except BundleError as error:
        raise BundleError(f"{uri}: {error}; if the original is whole, delete the copy {folder}") from None


def publish(staged: Path, uri: str) -> bool:
    """Publish the bundle in the folder `staged` as `uri`; False if that is there already.

    Locally `staged` must lie on the same file system: it is renamed. Object stores receive the
    manifest last: without it there is no bundle.
    """
    manifest = verified(staged)
    filesystem, path = fsspec.core.url_to_fs(uri)
    if not isinstance(filesystem, LocalFileSystem):
        if filesystem.exists(f"{path}/{m.MANIFEST_FILE}"):
            return False
        for name in (*sorted(manifest.files), m.MANIFEST_FILE):
            filesystem.put_file(str(staged / name), f"{path}/{name}")
        return True
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    for file in staged.iterdir():
        sync(file)
    sync(staged)
    try:
        staged.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        existing = verified(target)  # somebody published it first: the same, or an error worth seeing
        if existing.space_id != manifest.space_id:
            raise BundleError(f"{target}: holds space {existing.space_id}, not {manifest.space_id}") from None
        return False
    sync(target.parent)
    return True


def verified(folder: Path) -> Manifest:
    """The manifest of the bundle in a local folder after every check; see `open_bundle`."""
    manifest = _manifest(folder / m.MANIFEST_FILE)
    expected = {*manifest.files, m.MANIFEST_FILE}
    present = {entry.name for entry in folder.iterdir()}
    if present != expected:
        raise BundleError(
            f"{folder}: missing {sorted(expected - present)}, not expected {sorted(present - expected)}; "
            "a bundle holds what its manifest names and nothing else"
        )
    for name, digest in manifest.files.items():
        file = folder / name
        if file.is_symlink() or not file.is_file():
            raise BundleError(f"{file}: is not a plain file")
        actual = sha256_of(file)
        if actual != digest:
            raise BundleError(f"{file}: was altered: its sha256 is {actual}, the manifest says {digest}")
    for name in (m.USER_TOWER_FILE, m.ITEM_TOWER_FILE):
        check_self_contained((folder / name).read_bytes(), folder / name)
    residuals = folder / m.RESIDUALS_FILE if manifest.residual_dimension is not None else None
    if residuals is not None:
        ItemResiduals.load(residuals, manifest.residual_dimension)
    weights = weights_sha256(folder / m.WEIGHTS_FILE, residuals)
    if weights != manifest.weights_sha256:
        raise BundleError(f"{folder}: its weights are {weights}, the manifest says {manifest.weights_sha256}")
    return manifest


def _manifest(file: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except OSError as error:
        raise BundleError(f"{file.parent}: is no bundle: {file.name}: {error.strerror}") from None
    except ValidationError as error:
        raise BundleError(f"{file}: {'; '.join(problems(error, 'manifest'))}") from None


def _fetch(filesystem: fsspec.AbstractFileSystem, path: str, folder: Path, uri: str) -> None:
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    partial.mkdir(parents=True)
    try:
        names = [entry.rsplit("/", 1)[-1] for entry in filesystem.ls(path, detail=False)]
        for name in names:
            filesystem.get_file(f"{path}/{name}", str(partial / name))
        verified(partial)
        partial.rename(folder)
    except FileNotFoundError:
        raise BundleError(f"{uri}: there is no bundle") from None
    except OSError:
        if not (folder / m.MANIFEST_FILE).exists():  # else another process fetched it first
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
