"""Content vectors on disk: append-only Arrow files, read through memory maps.

Below `<uri>/<encoder_id>/` lie two kinds of shards, each written whole under its final name:
  `items-<time>-<digest>.arrow`     item key → key of its text
  `vectors-<time>-<digest>.arrow`   key of a text → vector (fp16)
A key is the first 16 bytes of a BLAKE2b, as two uint64. Vectors are written before the items that
point to them; of several entries for an item the one in the later shard (by name) holds. The digest in
the name is checked when a process first opens the file. Two writers never share a name, so neither
can harm the other; at worst the same vector is there twice.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from learn_features.content.key_index import KEY_BYTES, KeyIndex, id_keys
from learn_features.durable import sync
from learn_features.errors import DataError, SpaceMismatch

_DIGEST_DIGITS = 32

Keys = NDArray[np.uint64]
"""(n, 2)"""


def content_hash(text: str) -> bytes:
    """16 bytes that stand for a text."""
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest()


def _keys(hashes: Sequence[bytes]) -> Keys:
    return np.frombuffer(b"".join(hashes), dtype="<u8").reshape(-1, 2)


class ContentStore:
    """Vectors of one encoder below a local folder or an fsspec URI.

    Remote shards are copied once into `cache` (default: `~/.cache/learn-features/content`), since a
    memory map needs a file. Not thread-safe; each thread opens its own.
    """

    def __init__(
        self, uri: str, encoder_id: str, dimension: int | None = None, cache: Path | None = None
    ) -> None:
        self.encoder_id = encoder_id
        self._fs, root = fsspec.core.url_to_fs(uri)
        self._root = f"{root.rstrip('/')}/{encoder_id}"
        self._local = isinstance(self._fs, LocalFileSystem)
        self._cache = cache or Path.home() / ".cache" / "learn-features" / "content"
        self._dimension = dimension
        self._known: set[str] = set()
        self._maps: list[NDArray[np.float16]] = []
        self._texts = KeyIndex()  # text key → (shard, row)
        self._items = KeyIndex()  # item key → text key, as two numbers
        self.reload()

    @property
    def dimension(self) -> int | None:
        """C; None while the store is empty and nobody has said."""
        return self._dimension

    def __len__(self) -> int:
        """Items with a text."""
        return len(self._items)

    def reload(self) -> int:
        """Take in shards written since; how many. Raises `DataError` on an altered or broken one."""
        try:
            self._fs.invalidate_cache(self._root)
            paths = self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            return 0
        names = sorted(name for path in paths if (name := path.rsplit("/", 1)[-1]).endswith(".arrow"))
        new, again = [name for name in names if name not in self._known], []
        later = max((name for name in self._known if name.startswith("items-")), default="")
        if any(name.startswith("items-") and name < later for name in new):
            # a writer whose clock lags: order by name decides, so read all item shards again
            self._items = KeyIndex()
            again = [name for name in self._known if name.startswith("items-")]
        for name in sorted([*new, *again]):
            table = self._open(name)
            if name.startswith("vectors-"):
                self._add_vectors(name, table)
            else:
                self._items.add(_key_columns(table, "item"), _key_columns(table, "text"))
            self._known.add(name)
        return len(new)

    def put(
        self, item_ids: Sequence[str], content_hashes: Sequence[bytes], vectors: NDArray[np.float16]
    ) -> None:
        """Append items with their texts' hashes and vectors (n, C) fp16; readable at once and for all.

        Raises `SpaceMismatch` if the width differs from the store's, `DataError` if one is not finite.
        """
        if vectors.ndim != 2 or not len(item_ids) == len(content_hashes) == len(vectors):
            counts = f"{len(item_ids)} items, {len(content_hashes)} hashes, vectors {vectors.shape}"
            raise DataError(f"content store {self._root}: {counts} do not agree")
        if not len(item_ids):
            return
        if self._dimension not in (None, vectors.shape[1]):
            raise SpaceMismatch(
                f"content store {self._root}: vectors have {vectors.shape[1]} numbers, the encoder "
                f"{self.encoder_id} has {self._dimension}"
            )
        if vectors.dtype != np.float16 or not np.isfinite(vectors).all():
            raise DataError(f"content vectors for {self._root} must be finite float16, are {vectors.dtype}")
        texts = _keys(content_hashes)
        missing = np.flatnonzero(~self._texts.find(texts)[1])
        if len(missing):
            missing = missing[np.unique(texts[missing], axis=0, return_index=True)[1]]
            self._write("vectors", _vector_table(texts[missing], vectors[missing]))
        self.point(item_ids, content_hashes)

    def point(self, item_ids: Sequence[str], content_hashes: Sequence[bytes]) -> None:
        """Append that items now have texts whose vectors are there already."""
        if len(item_ids):
            items, texts = id_keys(item_ids), _keys(content_hashes)
            columns = [items[:, 0], items[:, 1], texts[:, 0], texts[:, 1]]
            names = ["item_0", "item_1", "text_0", "text_1"]
            self._write("items", pa.table([pa.array(np.ascontiguousarray(c)) for c in columns], names=names))
        self.reload()

    def current(self, item_ids: Sequence[str]) -> tuple[Keys, NDArray[np.bool_]]:
        """Keys of the texts (n, 2) that the store knows the items by, and for which it knows one."""
        return self._items.find(id_keys(item_ids))

    def has(self, content_hashes: Sequence[bytes]) -> NDArray[np.bool_]:
        """Whether there is a vector, per text (n,)."""
        return self._texts.find(_keys(content_hashes))[1]

    def up_to_date(self, item_ids: Sequence[str], content_hashes: Sequence[bytes]) -> NDArray[np.bool_]:
        """Whether an item's vector is there and is that of this text (n,)."""
        keys, found = self.current(item_ids)
        return found & (keys == _keys(content_hashes)).all(axis=1) & self.has(content_hashes)

    def lookup(self, item_ids: Sequence[str]) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """Vectors (n, C) of the items, zeros where there is none, and which were found (n,).

        C is 0 while the store is empty and was opened without `dimension`.
        """
        vectors = np.zeros((len(item_ids), self._dimension or 0), dtype=np.float16)
        texts, known = self.current(item_ids)
        places, found = self._texts.find(texts)
        found &= known
        rows = np.flatnonzero(found)
        if len(rows):
            order = rows[np.argsort(places[rows, 0], kind="stable")]
            shards, starts = np.unique(places[order, 0], return_index=True)
            for shard, part in zip(shards, np.split(order, starts[1:]), strict=True):
                vectors[part] = self._maps[int(shard)][places[part, 1]]
        return vectors, found

    def _add_vectors(self, name: str, table: pa.Table) -> None:
        column = table["vector"].combine_chunks()
        width = column.type.list_size
        if self._dimension is None:
            self._dimension = width
        if width != self._dimension:
            raise SpaceMismatch(
                f"{self._root}/{name}: vectors have {width} numbers, the encoder {self.encoder_id} has "
                f"{self._dimension}"
            )
        shard = len(self._maps)
        self._maps.append(column.flatten().to_numpy(zero_copy_only=True).reshape(-1, width))
        places = np.stack([np.full(len(table), shard), np.arange(len(table))], axis=1).astype(np.uint64)
        self._texts.add(_key_columns(table, "text"), places)

    def _open(self, name: str) -> pa.Table:
        path = Path(self._root) / name if self._local else self._cached(name)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest[:_DIGEST_DIGITS] != name.removesuffix(".arrow").rsplit("-", 1)[-1]:
            raise DataError(
                f"{path}: is damaged (sha256 {digest[:_DIGEST_DIGITS]} does not match its name); delete it "
                "and run `learn-features embed`, which encodes its items again"
            )
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()

    def _cached(self, name: str) -> Path:
        path = self._cache / self.encoder_id / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{name}.{uuid.uuid4().hex}")
            self._fs.get_file(f"{self._root}/{name}", str(partial))
            partial.replace(path)
        return path

    def _write(self, kind: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        raw = sink.getvalue()
        digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_DIGITS]
        name = f"{kind}-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}-{digest}.arrow"
        if not self._local:
            self._fs.pipe_file(f"{self._root}/{name}", raw.to_pybytes())  # whole or not at all, by the store
            return
        folder = Path(self._root)
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{name}.partial"
        with partial.open("xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / name)
        sync(folder)


def _key_columns(table: pa.Table, name: str) -> Keys:
    return np.stack([table[f"{name}_0"].to_numpy(), table[f"{name}_1"].to_numpy()], axis=1)


def _vector_table(texts: Keys, vectors: NDArray[np.float16]) -> pa.Table:
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), type=pa.float16())
    return pa.table(
        {
            "text_0": pa.array(np.ascontiguousarray(texts[:, 0])),
            "text_1": pa.array(np.ascontiguousarray(texts[:, 1])),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    )
