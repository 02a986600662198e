"""A catalogue's content vectors as one memory-mapped file, in the order of the items."""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.content.checked import BLOCK
from learn_features.content.embed import Progress, bad_items_file, embed_catalogue, open_store
from learn_features.contracts import columns as c
from learn_features.durable import whole
from learn_features.errors import DataError


def write_content(config: Config, items: pl.DataFrame, file: Path, progress: Progress | None = None) -> None:
    """Write the vectors (n items, C) of `items` to `file` (.npy, float16); embeds first what is missing.

    Raises `DataError` if an item has no vector.
    """
    embed_catalogue(config, items, progress)
    store = open_store(config)
    item_ids = items[c.ITEM_ID].to_list()
    file.parent.mkdir(parents=True, exist_ok=True)
    missing: list[str] = []
    header = {"descr": "<f2", "fortran_order": False, "shape": (len(item_ids), store.dimension or 0)}
    with whole(file) as aside:
        with aside.open("wb") as out:
            np.lib.format.write_array_header_1_0(out, header)
            for start in range(0, len(item_ids), BLOCK):
                ids = item_ids[start : start + BLOCK]
                vectors, found = store.lookup(ids)
                out.write(np.ascontiguousarray(vectors, dtype="<f2").data)
                missing.extend(ids[row] for row in np.flatnonzero(~found))
        if missing:
            raise DataError(
                f"{config.content}: {len(missing)} of {len(item_ids)} items have no content vector, first"
                f" {', '.join(missing[:5])}; {bad_items_file(config)} says why: mend them, or leave them"
                " out of the items table"
            )


def map_content(file: Path) -> NDArray[np.float16]:
    """The vectors in `file`, read as they are needed; what is written to the array stays private."""
    table: NDArray[np.float16] = np.load(file, mmap_mode="c")
    return table
