"""The same catalogue under Ray Data: a real local cluster of two workers, one of which is killed."""

import os
import signal
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest

from learn_features.config import Config, EncoderConfig
from learn_features.content.embed import embed_catalogue, open_store
from learn_features.content.ray_engine import embed_with_ray
from learn_features.data.catalogue import Catalogue
from tests.content.decoders import write_decoder

ray = pytest.importorskip("ray")


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """Shards of Parquet, with equal texts in different ones, and an item without text."""
    (tmp_path / "data" / "items").mkdir(parents=True)
    for part in range(4):
        pl.DataFrame(
            {
                "item_id": [f"i{part}-{n}" for n in range(60)],
                "title": [
                    None if (part, n) == (2, 7) else f"Lamp {n % 50} of brand {part}" for n in range(60)
                ],
            }
        ).write_parquet(tmp_path / "data" / "items" / f"part-{part}.parquet", row_group_size=25)
    return Catalogue(tmp_path / "data")


def _config(tmp_path: Path, engine: str) -> Config:
    encoder = EncoderConfig(model=str(tmp_path / "model"))
    return Config(state=str(tmp_path / engine), encoder=encoder)


def test_results_are_the_local_engines_although_a_worker_is_killed(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    write_decoder(tmp_path / "model", "llama")
    local, scaled = _config(tmp_path, "local"), _config(tmp_path, "ray")
    expected = embed_catalogue(local, catalogue.blocks())
    killed: list[int] = []

    def kill_one(done: int, total: int) -> None:
        workers = _actors()
        if not killed and workers:
            os.kill(workers[0], signal.SIGKILL)
            killed.append(workers[0])

    report = embed_with_ray(scaled, catalogue, kill_one, workers=2, slice_items=20)
    assert killed
    assert report.encoded + report.unchanged == expected.encoded == 240
    ids = pl.concat(catalogue.blocks())["item_id"].to_list()
    vectors, found = open_store(scaled).lookup(ids)
    assert found.all()
    np.testing.assert_allclose(
        vectors.astype(np.float32), open_store(local).lookup(ids)[0].astype(np.float32), atol=3e-3
    )
    assert report.bad == expected.bad == 1
    listed = [Path(one.bad_items or "").read_text() for one in (report, expected)]
    assert listed[0] == listed[1]
    again = embed_with_ray(scaled, catalogue, workers=2)
    assert (again.encoded, again.unchanged) == (0, 240)


def _actors() -> list[int]:
    """Processes of Ray Data's actors that this process has started."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            title = " ".join(child.cmdline())
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if title.startswith("ray::") and "MapWorker" in title:
            found.append(child.pid)
    return found
