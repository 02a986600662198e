"""Finding, reading and writing the file of a table."""

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from learn_features.data.lossy_text import read_lossy
from learn_features.durable import whole
from learn_features.errors import DataError

SUFFIXES = (".parquet", ".csv", ".jsonl")
"""Formats that are read."""


@dataclass(frozen=True)
class TableFile:
    """A table as it stands in its file; nothing is checked yet but that it can be read and has rows."""

    path: Path
    frame: pl.DataFrame


def read_table(folder: Path, name: str) -> TableFile:
    """Read `<folder>/<name>` with its suffix; `DataError` if missing, there twice, unreadable or empty.

    CSV columns are all text here, so that ids such as `0042` keep their zeros.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: there is no such folder; give a folder with items.parquet and interactions.parquet"
        )
    path = table_path(folder, name)
    if path is None:
        raise DataError(f"{folder}: holds no {' or '.join(name + s for s in SUFFIXES)}; add one of them")
    frame = read_file(path)
    if frame.height == 0:
        raise DataError(f"{path}: has no rows; at least one is needed")
    return TableFile(path, frame)


def table_path(folder: Path, name: str) -> Path | None:
    """The one file of table `name` in `folder`, None if there is none; `DataError` if there are several."""
    found = [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(f"{folder}: holds {names}, which may differ; leave the one that is meant")
    return found[0] if found else None


def read_file(path: Path) -> pl.DataFrame:
    """The table in `path`; bytes that are not UTF-8 become U+FFFD. `DataError` if it cannot be read."""
    try:
        return _read(path)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        unreadable = isinstance(error, OSError)
    if "utf-8" in reason.lower():
        try:
            return read_lossy(path)
        except (pl.exceptions.PolarsError, OSError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    finders = {".jsonl": _broken_line, ".csv": _broken_row}
    if path.suffix in finders and not unreadable:
        reason = finders[path.suffix](path) or reason
    raise DataError(f"{path}: cannot be read as {path.suffix[1:]} ({reason}); write the file again")


def _broken_line(path: Path) -> str | None:
    """Where the first line is that is no JSON object, and why."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            try:
                if line.strip() and not isinstance(json.loads(line), dict):
                    return f"line {number} is no JSON object"
            except ValueError as error:
                return f"line {number}: {error}"
    return None


def _broken_row(path: Path) -> str | None:
    """Where the first row is that has more fields than the header, or a quote without its end."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        return _long_row(path, strict=False) or _long_row(path, strict=True)
    finally:
        csv.field_size_limit(before)


def _long_row(path: Path, *, strict: bool) -> str | None:
    with path.open(encoding="utf-8", errors="replace", newline="") as text:
        rows, begins = csv.reader(text, strict=strict), 1
        try:
            columns = len(next(rows, []))
            begins = rows.line_num + 1
            for row in rows:
                if len(row) > columns:
                    return f"line {begins} has {len(row)} fields, the header {columns}"
                begins = rows.line_num + 1
        except csv.Error as error:  # of others, what reads tables is not so strict
            ended = "end of data" in str(error)
            return f"line {begins} opens a quote that nothing closes" if ended else None
    return None


def _read(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path, glob=False)
    if path.suffix == ".csv":
        return pl.read_csv(path, infer_schema=False, glob=False)
    return pl.read_ndjson(path, infer_schema_length=None)


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write `frame` to `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as aside:
        pq.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()), aside, compression="zstd")
