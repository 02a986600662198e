"""A catalogue's content vectors as one memory-mapped file, in the order of the items."""

import os
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.content.embed import Progress, embed_catalogue, open_store
from learn_features.contracts import columns as c
from learn_features.errors import DataError

BLOCK = 65_536
"""Items that are looked up at once."""


def write_content(config: Config, items: pl.DataFrame, file: Path, progress: Progress | None = None) -> None:
    """Write the vectors (n items, C) of `items` to `file` (.npy, float16); embeds first what is missing.

    Raises `DataError` if an item has no vector or one that is not finite.
    """
    embed_catalogue(config, items, progress)
    store = open_store(config)
    item_ids = items[c.ITEM_ID].to_list()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    shape = (len(item_ids), store.dimension or 0)
    table = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
    missing: list[str] = []
    broken: list[str] = []
    for start in range(0, len(item_ids), BLOCK):
        ids = item_ids[start : start + BLOCK]
        vectors, found = store.lookup(ids)
        table[start : start + BLOCK] = vectors
        missing.extend(ids[row] for row in np.flatnonzero(~found))
        broken.extend(ids[row] for row in np.flatnonzero(~np.isfinite(vectors).all(axis=1)))
    if missing:
        raise DataError(
            f"{config.content}: {len(missing)} of {len(item_ids)} items have no content vector, first"
            f" {', '.join(missing[:5])}; run `learn-features embed` on this data set"
        )
    refuse_broken(broken, len(item_ids))
    table.flush()
    temporary.replace(file)


def map_content(file: Path) -> NDArray[np.float16]:
    """The vectors in `file`, read as they are needed; what is written to the array stays private."""
    table: NDArray[np.float16] = np.load(file, mmap_mode="c")
    return table


def check_content(content: NDArray[np.float16], item_ids: list[str]) -> None:
    """`DataError` unless every content vector (n items, C) is finite."""
    broken = np.flatnonzero(~np.isfinite(content).all(axis=1))
    refuse_broken([item_ids[row] for row in broken], len(content))


def refuse_broken(item_ids: list[str], total: int) -> None:
    """`DataError` that names items whose vectors are not finite, if any."""
    if item_ids:
        raise DataError(
            f"content vectors: {len(item_ids)} of {total} are not finite (NaN or infinite),"
            f" first of items {', '.join(item_ids[:5])}; remove their shards from the content store and"
            " embed again"
        )
