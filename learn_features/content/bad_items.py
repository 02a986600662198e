"""The list of items whose text or vector is not as it should be: one CSV file for people."""

import csv
import io
from collections.abc import Iterable

import fsspec
import polars as pl

from learn_features.content.templates import clean
from learn_features.contracts import columns as c
from learn_features.errors import ConfigError

LONG_CHARACTERS = 100_000
"""Texts above this are told of: somebody has pasted a book."""
COLUMNS = ("item_id", "has_vector", "problem")
HEADER = ",".join(COLUMNS)
_REPLACEMENT = "\ufffd"


def check_free(uri: str) -> None:
    """`ConfigError` if there is anything at `uri` but an earlier list: it would be replaced, or removed."""
    fs, path = fsspec.core.url_to_fs(uri)
    if not fs.exists(path):
        return
    begins = fs.read_block(path, 0, len(HEADER) + 1) if fs.isfile(path) else None
    if begins not in (f"{HEADER}\n".encode(), f"{HEADER}\r".encode(), b""):
        raise ConfigError(
            f"{uri}: is no list of bad items (its first line would be {HEADER}), and would be replaced;"
            " name a file of its own (--bad-items)"
        )


class BadItems:
    """Collects problems of items; `write` puts them into a file, or removes one that no longer holds."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def without_vector(self, item_id: str, problem: str) -> None:
        self._rows.append((item_id, "no", problem))

    def add_questionable(self, items: pl.DataFrame) -> None:
        """Items that are embedded from what can be read of them, although something is wrong."""
        texts = [name for name in c.ITEM_TEXT_COLUMNS if name in items.columns and name != c.PRICE]
        fields = items.select(c.ITEM_ID, *(pl.col(name).cast(pl.String, strict=False) for name in texts))
        broken = pl.any_horizontal(
            pl.col(n).str.contains(_REPLACEMENT, literal=True).fill_null(False) for n in texts
        )
        length = pl.max_horizontal(pl.col(name).str.len_chars().fill_null(0) for name in texts)
        # cleaning costs more than counting, and what is long is hardly all invisible
        short = length <= 64
        blank = pl.all_horizontal(clean(pl.when(short).then(pl.col(name))).is_null() for name in texts)
        flags = fields.select(c.ITEM_ID, blank=short & blank, broken=broken, length=length)
        flags = flags.filter(pl.col("blank") | pl.col("broken") | (pl.col("length") > LONG_CHARACTERS))
        for item_id, is_blank, is_broken, characters in flags.iter_rows():
            if is_blank:
                self._rows.append((item_id, "yes", "has no text: its vector is that of the bare template"))
            if is_broken:
                self._rows.append((item_id, "yes", "has bytes that are not UTF-8, left out of its text"))
            if characters > LONG_CHARACTERS:
                problem = f"has a field of {characters:,} characters, of which the beginning is read"
                self._rows.append((item_id, "yes", problem))

    def extend(self, rows: Iterable[tuple[str, str, str]]) -> None:
        self._rows.extend(rows)

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        return self._rows

    @property
    def count_without_vector(self) -> int:
        return sum(has_vector == "no" for _, has_vector, _ in self._rows)

    def write(self, uri: str) -> None:
        """Write the file whole; without problems there is none. It is to be free for it: `check_free`."""
        fs, path = fsspec.core.url_to_fs(uri)
        if not self._rows:
            if fs.exists(path):
                fs.rm_file(path)
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(self._rows)
        fs.makedirs(fs._parent(path), exist_ok=True)
        fs.pipe_file(f"{path}.partial", text.getvalue().encode())
        fs.mv(f"{path}.partial", path)
