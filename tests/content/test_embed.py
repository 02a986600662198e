"""A catalogue: only what is new or changed, resumed after a kill, cheap when nothing changed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from learn_features.config import Config
from learn_features.content import catalogue_embedder
from learn_features.content import encoder as encoder_module
from learn_features.content.embed import embed_catalogue, load_content, open_store
from learn_features.content.encoder import Encoder
from learn_features.content.store import ContentStore
from learn_features.errors import DataError


@pytest.fixture
def items() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(12)],
            "title": [f"Thing number {n % 10}" for n in range(12)],  # i10 and i11 repeat i0 and i1
            "category": ["Tools", None, "Books"] * 4,
        }
    )


@pytest.fixture(autouse=True)
def _one_encoder(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "open_encoder", lambda _config: encoder)


def _rows(shard: Path) -> int:
    return int(pa.ipc.open_file(pa.memory_map(str(shard))).read_all().num_rows)


def test_vectors_are_the_encoders(config: Config, items: pl.DataFrame, encoder: Encoder) -> None:
    vectors = load_content(config, items)
    assert vectors.dtype == np.float16
    expected = encoder.encode(encoder.item_texts(items))
    np.testing.assert_allclose(vectors.astype(np.float32), expected.astype(np.float32), atol=1e-3)


def test_vectors_that_are_not_finite_are_named(
    config: Config, items: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another writer may have left them: `train`, `evaluate`, `backfill` all read through here."""
    real = ContentStore.lookup

    def lookup(store: ContentStore, item_ids: list[str]) -> tuple[np.ndarray, np.ndarray]:
        vectors, found = real(store, item_ids)
        vectors[[4, 7], [0, 9]] = np.nan, np.inf
        return vectors, found

    monkeypatch.setattr(ContentStore, "lookup", lookup)
    with pytest.raises(DataError, match=r"2 of 12 are not finite .* first of items i4, i7; remove"):
        load_content(config, items)


def test_only_new_and_changed_items_are_encoded(config: Config, items: pl.DataFrame) -> None:
    seen: list[tuple[int, int]] = []
    first = embed_catalogue(config, items, lambda done, total: seen.append((done, total)), shard_items=5)
    assert (first.encoded, first.unchanged) == (12, 0)
    assert seen[-1] == (12, 12)
    assert seen == sorted(seen)
    changed = items.with_columns(
        pl.when(pl.col("item_id") == "i3").then(pl.lit("New name")).otherwise("title").alias("title")
    )
    more = pl.concat([changed, changed[:1].with_columns(item_id=pl.lit("new"))])  # a new item, a known text
    second = embed_catalogue(config, more)
    assert (second.encoded, second.unchanged) == (1, 12)
    before, after = load_content(config, items[:3]), load_content(config, more)
    np.testing.assert_array_equal(after[:3], before)
    np.testing.assert_array_equal(after[-1], before[0])
    assert np.abs(after[3].astype(np.float32) - after[4].astype(np.float32)).max() > 0.05


def test_nothing_new_loads_no_encoder(
    config: Config, items: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed_catalogue(config, items)

    def refuse(_config: object) -> None:
        raise AssertionError("the encoder was loaded")

    monkeypatch.setattr(encoder_module, "open_encoder", refuse)
    shards = sorted(Path(config.content).rglob("*"))
    report = embed_catalogue(config, items)
    assert (report.encoded, report.unchanged) == (0, 12)
    assert sorted(Path(config.content).rglob("*")) == shards
    empty = embed_catalogue(config, items.clear())
    assert (empty.encoded, empty.unchanged) == (0, 0)


def test_shards_are_as_large_as_speed_allows(
    config: Config, items: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow the encoder, a kill costs little: a run's first shard is small, later ones as it finds."""
    monkeypatch.setattr(catalogue_embedder, "FIRST_ITEMS", 2)
    monkeypatch.setattr(catalogue_embedder, "FEWEST_ITEMS", 3)
    monkeypatch.setattr(catalogue_embedder, "SHARD_SECONDS", 0.0)
    embed_catalogue(config, items)
    sizes = [_rows(shard) for shard in sorted(Path(config.content).rglob("items-*"))]
    assert sizes == [2, 2, 3, 3, 2]  # the second is prepared while the first is encoded


def test_cut_descriptions_are_counted(config: Config) -> None:
    words = [None, "a lamp of brass", "word " * 63, "word " * 65, "word " * 5_000]
    items = pl.DataFrame({"item_id": list("abcde"), "title": ["lamp"] * 5, "description": words})
    report = embed_catalogue(config, items)
    assert (report.descriptions_cut, report.truncated) == (2, 0)


def test_two_templates_do_not_share_vectors(config: Config, items: pl.DataFrame) -> None:
    embed_catalogue(config, items)
    paper = config.model_copy(update={"encoder": config.encoder.model_copy(update={"template": "paper"})})
    assert len(open_store(paper)) == 0
    assert len(open_store(config)) == 12


def test_a_killed_run_goes_on(config: Config, items: pl.DataFrame, tmp_path: Path) -> None:
    many = pl.concat(
        [
            items.with_columns(
                item_id=pl.format("{}-{}", "item_id", pl.lit(n)),
                title=pl.format("{} of {}", "title", pl.lit(n)),
            )
            for n in range(20)
        ]
    )
    many.write_parquet(tmp_path / "items.parquet")
    program = f"""
import polars as pl
from learn_features.config import Config
from learn_features.content.embed import embed_catalogue
embed_catalogue(Config(state={config.state!r}), pl.read_parquet({str(tmp_path / "items.parquet")!r}),
                lambda done, total: print(done, flush=True), shard_items=16)
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) > 40:  # two shards are written, a third is on its way
            break
    os.kill(child.pid, signal.SIGKILL)
    child.wait(30)
    assert child.returncode == -signal.SIGKILL
    kept = len(open_store(config))
    assert 32 <= kept < 240
    resumed = embed_catalogue(config, many)
    assert resumed.unchanged == kept
    assert resumed.encoded == 240 - kept
    assert load_content(config, many).shape == (240, 384)
