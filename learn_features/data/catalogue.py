"""The items of a catalogue in blocks, so that memory does not grow with it."""

import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from learn_features.config import DataConfig
from learn_features.contracts import columns as c
from learn_features.data.checked import CheckedTable
from learn_features.data.items import ITEM_COLUMNS, read_items
from learn_features.data.lossy_text import frame_of
from learn_features.data.table_files import SUFFIXES, TableFile, read_file, table_path
from learn_features.data.tables import INTERACTIONS, ITEMS
from learn_features.errors import DataError

BLOCK_ITEMS = 65_536


class Catalogue:
    """Items in a file, in `items.parquet`, `.csv` or `.jsonl` of a folder, or in `items/*` of one.

    Several files are parts of one catalogue: shards of one format, in order of their names. Raises
    `DataError` where there is none, and where it is not clear which files are meant.
    """

    def __init__(self, path: str | Path, config: DataConfig | None = None) -> None:
        self._config = config or DataConfig()
        self.files = _files(Path(path))

    @classmethod
    def of(cls, files: list[Path], config: DataConfig | None = None) -> "Catalogue":
        """The catalogue of exactly these files."""
        catalogue = cls.__new__(cls)
        catalogue._config, catalogue.files = config or DataConfig(), files
        return catalogue

    @property
    def rows(self) -> int | None:
        """Items in all files, where that is known without reading them (Parquet)."""
        counts = [self.rows_of(file) for file in self.files]
        return None if None in counts else sum(count for count in counts if count is not None)

    def rows_of(self, file: Path) -> int | None:
        """The same of one file."""
        if file.suffix != ".parquet":
            return None
        try:
            return int(pq.read_metadata(file).num_rows)
        except (OSError, ValueError):  # said clearly when it is read
            return None

    def blocks(self) -> Iterator[pl.DataFrame]:
        """Contract columns of at most `BLOCK_ITEMS` items at a time; `DataError` where one is wrong.

        Repeated ids are noticed within a block; across blocks the later row holds.
        """
        for file in self.files:
            yield from self.blocks_of(file)

    def blocks_of(self, file: Path) -> Iterator[pl.DataFrame]:
        """The same of one of `files`."""
        if file.suffix != ".parquet":
            whole = self.checked(file, read_file(file))
            yield from (whole[at : at + BLOCK_ITEMS] for at in range(0, whole.height, BLOCK_ITEMS))
            return
        try:
            with pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(BLOCK_ITEMS):
                    yield self.checked(file, frame_of(pa.Table.from_batches([batch])))
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: cannot be read as parquet ({error}); write the file again") from None

    def raw(self, file: Path, first: int, rows: int) -> pl.DataFrame:
        """`rows` rows of a Parquet file from row `first` on; only row groups that hold them are read."""
        try:
            with pq.ParquetFile(file) as parquet:
                tables, start = [], 0
                for group in range(parquet.num_row_groups):
                    stop = start + parquet.metadata.row_group(group).num_rows
                    if start < first + rows and stop > first:
                        table = parquet.read_row_group(group)
                        tables.append(
                            table.slice(max(0, first - start), min(stop, first + rows) - max(start, first))
                        )
                    start = stop
                return frame_of(pa.concat_tables(tables))
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: cannot be read as parquet ({error}); write the file again") from None

    def checked(self, file: Path, frame: pl.DataFrame) -> pl.DataFrame:
        """Contract columns of rows of `file`."""
        if not frame.height:
            return pl.DataFrame(schema=dict.fromkeys(ITEM_COLUMNS, pl.String))
        table = CheckedTable(TableFile(file, frame), self._config.item_columns, ITEM_COLUMNS)
        items = read_items(
            table, time.time_ns() // 1_000, [], attributes=self._config.item_attributes, all_may_be_empty=True
        )
        return items.select(c.ITEM_ID, *c.ITEM_TEXT_COLUMNS)


def _files(path: Path) -> list[Path]:
    if path.is_file() and path.suffix in SUFFIXES:
        return [path]
    if path.is_file():
        raise DataError(f"{path}: is none of {', '.join(SUFFIXES)}; items come in one of these")
    if not path.is_dir():
        raise DataError(f"{path}: there is no such folder or file; give items.parquet or a folder with it")
    file, folder = table_path(path, ITEMS), path / ITEMS
    parts = folder if folder.is_dir() else path
    shards = [
        each
        for each in sorted(parts.iterdir())
        if each.suffix in SUFFIXES and not each.name.startswith((".", "_")) and each.stem != INTERACTIONS
    ]
    if file is not None and (not shards or parts is path):
        return [file]
    if file is not None:
        raise DataError(
            f"{path}: holds {file.name} and shards in {ITEMS}/, which may differ; leave the one meant"
        )
    if not shards:
        names = " or ".join(ITEMS + suffix for suffix in SUFFIXES)
        raise DataError(f"{path}: holds no {names}, and no such shards in {ITEMS}/; add them")
    of_each = {each.suffix: each.name for each in shards}
    if len(of_each) > 1:
        names = " and ".join(sorted(of_each.values()))
        raise DataError(f"{parts}: holds tables of several formats, as {names}; leave the shards of one")
    return shards
