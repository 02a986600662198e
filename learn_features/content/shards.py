"""Files of a content store: written whole under names that carry time and digest, verified when read.

Names are `<kind>-<time>-<random>-<digest>.arrow`. Two writers never share a name. Shards that a compaction
has replaced are named in `replaced-….json`; a shard whose bytes do not match its name is damaged.
"""

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from learn_features.config import cache_folder
from learn_features.durable import DISK_FULL, sha256_of, whole
from learn_features.errors import DataError, StoreUnavailable

_log = logging.getLogger(__name__)

DAMAGED = "damaged"
"""Folder beside the shards, for those that were set aside."""
_SUFFIX = ".arrow"
_REPLACED = "replaced"
_DIGEST_DIGITS = 32


class Shards:
    """The shards below a local folder or fsspec URI; remote ones are copied once into `cache`."""

    def __init__(self, uri: str, encoder_id: str, cache: Path | None = None) -> None:
        self._fs, root = fsspec.core.url_to_fs(uri)
        self.root = f"{root.rstrip('/')}/{encoder_id}"
        self._local = isinstance(self._fs, LocalFileSystem)
        self._cache = (cache or cache_folder() / "content") / encoder_id
        self._verified: set[str] = set()

    def names(self) -> list[str]:
        """Shards in force, in order: all that are there but the replaced ones."""
        there = self._listed()
        replaced = {
            name for marker in there if marker.startswith(_REPLACED) for name in self._replaced_by(marker)
        }
        return [name for name in there if name.endswith(_SUFFIX) and name not in replaced]

    def open(self, name: str, *, verify: bool) -> pa.Table:
        """A shard, memory-mapped. `DataError` if it is damaged; without `verify`, only if it shows."""
        if verify:
            self.verify(name)
        try:
            return pa.ipc.open_file(pa.memory_map(str(self._path(name)))).read_all()
        except (pa.ArrowInvalid, OSError, EOFError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise self._damaged(name, "is no Arrow file") from None

    def verify(self, name: str) -> None:
        """`DataError` unless the bytes are those that were written; each shard is read once a process."""
        if name in self._verified:
            return
        digest = sha256_of(self._path(name))[:_DIGEST_DIGITS]
        if digest != name.rsplit(".", 1)[0].rsplit("-", 1)[-1]:
            raise self._damaged(name, f"sha256 {digest} does not match its name")
        self._verified.add(name)

    def set_aside_damaged(self) -> list[str]:
        """Move what is damaged out of the way, into `damaged/`; the names."""
        moved = []
        for name in self.names():
            try:
                self.verify(name)
                self.open(name, verify=False)
            except DataError:
                _log.warning("%s: is damaged; set aside, its items are encoded again", self._path(name))
                self._fs.makedirs(f"{self.root}/{DAMAGED}", exist_ok=True)
                self._fs.mv(f"{self.root}/{name}", f"{self.root}/{DAMAGED}/{name}")
                if not self._local:
                    (self._cache / name).unlink(missing_ok=True)
                moved.append(name)
        return moved

    def write(self, kind: str, table: pa.Table, time_ns: int | None = None) -> str:
        """Write a shard whole or not at all; its name. `StoreUnavailable` if the disk is full, say."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        return self._put(kind, sink.getvalue(), _SUFFIX, time_ns)

    def replace(self, names: Iterable[str]) -> None:
        """Put other shards out of force; readers that have them open go on with them."""
        self._put(_REPLACED, pa.py_buffer(json.dumps(sorted(names)).encode()), ".json", None)

    def delete_replaced(self, older_than_seconds: float) -> int:
        """Delete shards that were replaced that long ago; how many."""
        deleted = 0
        there = set(self._listed())
        for marker in sorted(name for name in there if name.startswith(_REPLACED)):
            if time.time_ns() - time_of(marker) < older_than_seconds * 1e9:
                continue
            for name in self._replaced_by(marker):
                if name in there:
                    self._fs.rm_file(f"{self.root}/{name}")
                    there.discard(name)
                    deleted += 1
            self._fs.rm_file(f"{self.root}/{marker}")
        return deleted

    def _listed(self) -> list[str]:
        try:
            self._fs.invalidate_cache(self.root)
            paths = self._fs.ls(self.root, detail=False)
        except FileNotFoundError:
            return []
        return sorted(
            name
            for path in paths
            if not (name := path.rsplit("/", 1)[-1]).startswith(".") and name.endswith((_SUFFIX, ".json"))
        )

    def _replaced_by(self, marker: str) -> list[str]:
        try:
            self.verify(marker)
            names: list[str] = json.loads(self._path(marker).read_text())
        except FileNotFoundError:  # another compaction has finished with it
            return []
        return names

    def _path(self, name: str) -> Path:
        if self._local:
            return Path(self.root) / name
        path = self._cache / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{name}.{uuid.uuid4().hex}")
            self._fs.get_file(f"{self.root}/{name}", str(partial))
            partial.replace(path)
        return path

    def _damaged(self, name: str, why: str) -> DataError:
        return DataError(
            f"{self._path(name)}: is damaged ({why}); run `learn-features embed`, which sets it aside and "
            "encodes its items again"
        )

    def _put(self, kind: str, raw: pa.Buffer, suffix: str, time_ns: int | None) -> str:
        digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_DIGITS]
        name = f"{kind}-{time_ns or time.time_ns():020d}-{uuid.uuid4().hex[:8]}-{digest}{suffix}"
        try:
            if self._local:
                self._write_local(name, raw)
            else:
                self._fs.pipe_file(f"{self.root}/{name}", raw.to_pybytes())  # whole or not, by the store
        except OSError as error:
            what = "the disk is full" if error.errno in DISK_FULL else str(error)
            raise StoreUnavailable(
                f"{self.root}: a shard of {raw.size / 1e6:.1f} MB cannot be written ({what}); everything "
                "before it is kept: make room, then give the same command again, which goes on from there"
            ) from error
        return name

    def _write_local(self, name: str, raw: pa.Buffer) -> None:
        folder = Path(self.root)
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / name) as aside:
            aside.write_bytes(raw)


def time_of(name: str) -> int:
    """When a shard was written, in ns since 1970."""
    return int(name.split("-")[1])
