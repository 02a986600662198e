"""A content store of a million items: an unchanged run, look-ups; and how memory grows with a catalogue."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.peak_memory import PeakMemory
from learn_features.config import Config, EncoderConfig
from learn_features.content.catalogue_embedder import CatalogueEmbedder, source_keys
from learn_features.content.compaction import compact
from learn_features.content.embed import embed_catalogue
from learn_features.content.lookup import ContentLookup
from learn_features.content.store import ContentStore, content_hash
from learn_features.contracts import columns as c

FILE_ITEMS = 1_000
GROWTH = 4
ASKED = 200
"""Items of a look-up."""


def measure(rows: list[dict[str, Any]], claims: dict[str, float], items: int, memory_items: int) -> None:
    """Rows of the store, and the claim on memory."""
    with tempfile.TemporaryDirectory() as place:
        config = Config(state=place)
        catalogue = _filled(config, items)
        started = time.perf_counter()
        report = embed_catalogue(config, catalogue)
        assert report.unchanged == items, report
        rows.append({"what": "unchanged run", "items": items, "seconds": time.perf_counter() - started})
        for when in ("as written", "compacted"):
            if when == "compacted":
                store = CatalogueEmbedder(config).store
                started = time.perf_counter()
                compact(store, grace_seconds=0)
                rows.append({"what": "compaction", "items": items, "seconds": time.perf_counter() - started})
            rows.append({"what": f"look-up of {ASKED}, {when}", "items": items, **_look_up(config, items)})
    added = [_peak(times * memory_items) for times in (1, GROWTH)]
    for times, peak in zip((1, GROWTH), added, strict=True):
        rows.append({"what": "peak memory of a run", "items": times * memory_items, "bytes": peak})
    claims["peak_memory_growth"] = added[1] / added[0]


def _filled(config: Config, items: int) -> pl.DataFrame:
    """A catalogue whose random vectors are in the store, as if it had been embedded."""
    catalogue = _titles(items)
    sources = source_keys(catalogue)
    store = CatalogueEmbedder(config).store
    rng = np.random.default_rng(0)
    ids = catalogue[c.ITEM_ID].to_list()
    for at in range(0, items, 65_536):
        some = ids[at : at + 65_536]
        vectors = rng.standard_normal((len(some), store.dimension or 1), np.float32).astype(np.float16)
        store.put(some, [content_hash(one) for one in some], vectors, sources[at : at + 65_536])
    return catalogue


def _titles(items: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            c.ITEM_ID: [f"item-{n}" for n in range(items)],
            c.TITLE: [f"Desk lamp number {n} with a linen shade and a brass foot" for n in range(items)],
            c.DESCRIPTION: ["It stands on a table and gives light in the evening. " * 6] * items,
        }
    )


def _look_up(config: Config, items: int) -> dict[str, float]:
    started = time.perf_counter()
    spec = CatalogueEmbedder(config).spec
    lookup = ContentLookup(ContentStore(config.content, spec.id), reload_seconds=3_600)
    opened = time.perf_counter() - started
    rng = np.random.default_rng(1)
    seconds = []
    for _ in range(50):
        asked = [f"item-{n}" for n in rng.integers(0, items, ASKED)]
        started = time.perf_counter()
        vectors, found = lookup(asked)
        seconds.append(time.perf_counter() - started)
        assert found.all()
        assert vectors.any(axis=1).all()
    return {
        "seconds_to_open": opened,
        "milliseconds_p50": statistics.median(seconds[1:]) * 1e3,
        "milliseconds_first": seconds[0] * 1e3,
    }


def _peak(items: int) -> int:
    """Peak bytes that a run adds, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.content_stores", str(items)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    return int(done.stdout.split()[-1])


def _peak_here(items: int) -> int:
    """A tiny decoder over a Parquet file, read in blocks."""
    from transformers import LlamaConfig, LlamaModel

    from learn_features.content.sources import locate
    from learn_features.data.catalogue import Catalogue

    with tempfile.TemporaryDirectory() as place:
        model = Path(place) / "model"
        shape = LlamaConfig(
            vocab_size=30_522,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=512,
        )
        LlamaModel(shape).save_pretrained(model)
        tokenizer = locate(EncoderConfig()).folder / "tokenizer.json"
        (model / "tokenizer.json").write_bytes(tokenizer.read_bytes())
        config = Config(state=f"{place}/state", encoder=EncoderConfig(model=str(model), template="{title}"))
        table = _titles(items)
        # many files, as a catalogue of millions comes
        for part, at in enumerate(range(0, items, FILE_ITEMS)):
            table[at : at + FILE_ITEMS].write_parquet(f"{place}/{part:06d}.parquet")
        del table
        embed_catalogue(config, _titles(2_048))  # libraries' own buffers
        with PeakMemory() as memory:
            embed_catalogue(config, Catalogue(place).blocks(), shard_items=512)
    return memory.added


if __name__ == "__main__":
    print(_peak_here(int(sys.argv[1])))
