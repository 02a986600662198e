"""Tables with bytes that are not UTF-8: the bytes become U+FFFD, everything else is read as it is."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq


def read_lossy(path: Path) -> pl.DataFrame:
    """The table in a .parquet, .csv or .jsonl file; columns of CSV are text."""
    if path.suffix == ".parquet":
        return frame_of(pq.read_table(path))
    if path.suffix == ".csv":
        return pl.read_csv(path, infer_schema=False, glob=False, encoding="utf8-lossy")
    text = path.read_bytes().decode("utf-8", errors="replace")
    return pl.read_ndjson(text.encode(), infer_schema_length=None)


def frame_of(table: pa.Table) -> pl.DataFrame:
    """The same table in polars, which must not be handed text that is not UTF-8."""
    for place, column in enumerate(table.columns):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid:
                raw = column.cast(pa.large_binary()).to_pylist()
                text = [None if one is None else one.decode("utf-8", errors="replace") for one in raw]
                table = table.set_column(place, table.field(place).name, pa.array(text, pa.large_string()))
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
