"""Rows in one SQLite file: the embedded default. Several processes and threads may use it at once."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from learn_features.contracts import online
from learn_features.errors import StoreUnavailable
from learn_features.features.row_store import CellPut, RowWrite

_SCHEMA = """CREATE TABLE IF NOT EXISTS cells (
    key BLOB NOT NULL, field TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (key, field)
) WITHOUT ROWID"""
_SET = "INSERT INTO cells VALUES (?, ?, ?) ON CONFLICT (key, field) DO UPDATE SET value = excluded.value"
_GET = "SELECT value FROM cells WHERE key = ? AND field = ?"
_DELETE = "DELETE FROM cells WHERE key = ? AND field = ?"
_KEYS_A_QUERY = 500
_KEYS_A_PAGE = 1000
_BUSY_PAUSE_SECONDS = 0.005

T = TypeVar("T")


class _Opened(NamedTuple):
    """A connection, and whose it is: of which process and thread, on which file (device, inode)."""

    connection: sqlite3.Connection
    process: int
    thread: threading.Thread
    file: tuple[int, int] | None


class SqliteRowStore:
    """Rows in the file `path`, which is created with its folder; see `row_store.RowStore`.

    Write-ahead log, one connection a thread (opened again where the file was replaced), one
    `BEGIN IMMEDIATE` transaction a batch. `synchronous` is NORMAL: a power cut may lose the last
    transactions, rows and checkpoint together, which a consumer sees from the checkpoint; it never
    tears one.
    """

    def __init__(self, path: str | Path, busy_seconds: float = 30.0) -> None:
        self.path = Path(path)
        self._busy_ms = int(busy_seconds * 1000)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[_Opened] = []

    def read_rows(self, keys: Sequence[bytes]) -> list[dict[str, bytes]]:
        found: dict[bytes, dict[str, bytes]] = {key: {} for key in keys}
        for key, field, value in self._select(keys, None):
            found[key][field] = value
        return [dict(found[key]) for key in keys]

    def read_fields(self, keys: Sequence[bytes], fields: Sequence[str]) -> list[list[bytes | None]]:
        found = {(key, field): value for key, field, value in self._select(keys, fields)}
        return [[found.get((key, field)) for field in fields] for key in keys]

    def replace_rows(self, writes: Sequence[RowWrite]) -> list[bool]:
        return self._write(lambda db: [_replace(db, write) for write in writes])

    def put_newer(self, puts: Sequence[CellPut]) -> list[bool]:
        return self._write(lambda db: [_put(db, put) for put in puts])

    def scan_keys(self, prefix: bytes) -> Iterator[bytes]:
        last, query = prefix, "SELECT DISTINCT key FROM cells WHERE key >= ? ORDER BY key LIMIT ?"
        while True:
            with self._translated() as db:
                page = [key for (key,) in db.execute(query, (last, _KEYS_A_PAGE))]
            for key in page:
                if not key.startswith(prefix):
                    return
                yield key
            if len(page) < _KEYS_A_PAGE:
                return
            last = page[-1] + b"\x00"

    def drop_field(self, prefix: bytes, field: str) -> int:
        query = "DELETE FROM cells WHERE field = ? AND substr(key, 1, ?) = ? AND key >= ?"
        return self._write(lambda db: db.execute(query, (field, len(prefix), prefix, prefix)).rowcount)

    def compare_and_set_fields(
        self, key: bytes, expected: Mapping[str, bytes | None], new: Mapping[str, bytes]
    ) -> bool:
        def change(db: sqlite3.Connection) -> bool:
            if any(_get(db, key, field) != value for field, value in expected.items()):
                return all(_get(db, key, field) == value for field, value in new.items())
            db.executemany(_SET, [(key, field, value) for field, value in new.items()])
            return True

        return self._write(change)

    def close(self) -> None:
        with self._lock:
            for opened in self._open:
                if opened.process == os.getpid():  # SQLite: a connection may not be used across a fork
                    opened.connection.close()
            self._open.clear()
            self._local = threading.local()

    def _select(
        self, keys: Sequence[bytes], fields: Sequence[str] | None
    ) -> Iterator[tuple[bytes, str, bytes]]:
        wanted = list(dict.fromkeys(keys))
        condition = "" if fields is None else f" AND field IN ({','.join('?' * len(fields))})"
        for start in range(0, len(wanted), _KEYS_A_QUERY):
            some = wanted[start : start + _KEYS_A_QUERY]
            query = (
                f"SELECT key, field, value FROM cells WHERE key IN ({','.join('?' * len(some))}){condition}"
            )
            with self._translated() as db:
                found = db.execute(query, [*some, *(fields or ())]).fetchall()
            yield from found

    def _write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        with self._translated() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                result = change(db)
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
            return result

    @contextmanager
    def _translated(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connection()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(
                f"online store {self.path}: {error}; check that the file is there, writable and not locked"
            ) from error

    def _connection(self) -> sqlite3.Connection:
        known: _Opened | None = getattr(self._local, "opened", None)
        if known is not None and known.process == os.getpid() and known.file == _identity(self.path):
            return known.connection
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path, timeout=self._busy_ms / 1000, isolation_level=None, check_same_thread=False
        )
        _write_ahead(connection, time.monotonic() + self._busy_ms / 1000)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(_SCHEMA)
        opened = _Opened(connection, os.getpid(), threading.current_thread(), _identity(self.path))
        with self._lock:
            done = [one for one in self._open if _is_done(one, known)]
            self._open = [*(one for one in self._open if one not in done), opened]
        for one in done:
            one.connection.close()
        self._local.opened = opened
        return connection


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is at `path`: another one after a restore; None: none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _is_done(opened: _Opened, replaced: _Opened | None) -> bool:
    """Whether nobody uses a connection of this process any more."""
    mine = opened.process == os.getpid()
    return mine and (opened is replaced or not opened.thread.is_alive())


def _write_ahead(connection: sqlite3.Connection, deadline: float) -> None:
    """Set the journal mode; SQLite's own busy handler does not wait where several set it at once."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE_SECONDS)


def _get(db: sqlite3.Connection, key: bytes, field: str) -> bytes | None:
    row = db.execute(_GET, (key, field)).fetchone()
    return None if row is None else row[0]


def _replace(db: sqlite3.Connection, write: RowWrite) -> bool:
    if _get(db, write.key, online.AS_OF_FIELD) != write.expected_as_of:
        return all(_get(db, write.key, field) == value for field, value in write.fields.items())
    kept = [(write.key, field, value) for field, value in write.fields.items() if value is not None]
    gone = [(write.key, field) for field, value in write.fields.items() if value is None]
    db.executemany(_SET, kept)
    db.executemany(_DELETE, gone)
    return True


def _put(db: sqlite3.Connection, put: CellPut) -> bool:
    forgotten = _get(db, put.key, online.FORGOTTEN_FIELD) or b""
    taken = {}
    for field, cell in put.cells.items():
        stored = _get(db, put.key, field)
        revision = cell[: online.REVISION_BYTES]
        if revision[:8] > forgotten and (stored is None or revision > stored[: online.REVISION_BYTES]):
            taken[field] = cell
    if not taken:
        return False
    as_of = max(cell[:8] for cell in taken.values())
    if as_of > (_get(db, put.key, online.AS_OF_FIELD) or b""):
        taken[online.AS_OF_FIELD] = as_of
    db.executemany(_SET, [(put.key, field, value) for field, value in taken.items()])
    return True
