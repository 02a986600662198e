"""What goes wrong with a catalogue: good items are done, bad ones listed, the message says what."""

import csv
import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from learn_features.cli.main import app
from learn_features.config import Config, EncoderConfig
from learn_features.content.embed import embed_catalogue, open_store
from learn_features.data.catalogue import Catalogue
from learn_features.errors import ConfigError, DataError, StoreUnavailable
from tests.content.decoders import write_decoder

TITLES = {
    "good": b"Trail running shoe",
    "empty": b"",
    "blank": b" \t\n ",
    "invisible": "\u200b\ufeff".encode(),
    "big": b"word " * 200_000,
    "bytes": b"shoe \xff\xfe blue",
    "other": "钢笔 & ручка".encode(),
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    model = write_decoder(tmp_path / "model", "qwen3")
    return Config(state=str(tmp_path / "state"), encoder=EncoderConfig(model=str(model), template="{title}"))


def _parquet(file: Path) -> Path:
    """Bytes that are not UTF-8 in a column that says it is text."""
    raw = pa.array(TITLES.values(), pa.binary())
    titles = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
    pq.write_table(pa.table({"item_id": list(TITLES), "title": titles}), file)
    return file


def _csv(file: Path) -> Path:
    rows = [b'%s,"%s"' % (name.encode(), title) for name, title in TITLES.items()]
    file.write_bytes(b"\n".join([b"item_id,title", *rows, b""]))
    return file


def _jsonl(file: Path) -> Path:
    lines = [b'{"item_id": "%s", "title": "%s"}' % (n.encode(), t.strip()) for n, t in TITLES.items()]
    file.write_bytes(b"\n".join(lines))
    return file


def _listed(uri: str | None) -> dict[str, tuple[str, str]]:
    assert uri is not None
    with Path(uri).open() as file:
        return {row["item_id"]: (row["has_vector"], row["problem"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize("write", [_parquet, _csv, _jsonl])
def test_good_items_are_done_and_bad_ones_listed(config: Config, tmp_path: Path, write) -> None:
    (tmp_path / "data").mkdir()
    file = write(tmp_path / "data" / f"items.{write.__name__[1:]}")
    report = embed_catalogue(config, Catalogue(file.parent).blocks())
    listed = {name: problem for name, (_, problem) in _listed(report.bad_items).items()}
    assert "of which the beginning is read" in listed.pop("big")
    assert "not UTF-8" in listed.pop("bytes")
    assert listed.keys() == {"empty", "blank", "invisible"}
    # the template is the title alone, and Qwen's tokenizer adds nothing: there is no token to embed
    assert set(listed.values()) == {"the text has no token"}
    assert (report.encoded, report.without_vector, report.truncated) == (4, 3, 1)
    found = open_store(config).lookup(list(TITLES))[1]
    assert found.tolist() == [name not in listed for name in TITLES]
    clean = pl.DataFrame({"item_id": ["x"], "title": ["shoe blue"]})  # what remains of the bytes
    embed_catalogue(config, clean)
    np.testing.assert_array_equal(*open_store(config).lookup(["bytes", "x"])[0])


def test_without_problems_there_is_no_list(config: Config) -> None:
    items = pl.DataFrame({"item_id": ["a"], "title": [""]})
    listed = embed_catalogue(config, items).bad_items
    assert Path(listed or "").exists()
    assert embed_catalogue(config, items.with_columns(title=pl.lit("lamp"))).bad_items is None
    assert not Path(listed or "").exists()


@pytest.mark.parametrize("holds", ["a table", "a folder"])
def test_a_list_replaces_nothing_but_a_list(holds: str, config: Config, tmp_path: Path) -> None:
    """Neither by one nor, where nothing is wrong, by none."""
    place = tmp_path / "there"
    text = "item_id,has_vector,problem_code\na,no,7\n"
    place.mkdir() if holds == "a folder" else place.write_text(text)
    for title in ("", "lamp"):
        with pytest.raises(ConfigError, match="there: is no list of bad items"):
            embed_catalogue(config, pl.DataFrame({"item_id": ["a"], "title": [title]}), bad_items=str(place))
    assert place.is_dir() or place.read_text() == text
    assert not (tmp_path / "state").exists()


def test_a_run_that_fails_leaves_the_list_before_it(config: Config, tmp_path: Path) -> None:
    """One that found problems of its own, too: it does not know what stands of the others."""
    listed = embed_catalogue(config, pl.DataFrame({"item_id": ["a"], "title": [""]})).bad_items
    text = Path(listed or "").read_text()

    def blocks() -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"item_id": ["b", "c"], "title": ["lamp", ""]})
        raise DataError("the second block is broken")

    with pytest.raises(DataError, match="second block"):
        embed_catalogue(config, blocks())
    assert Path(listed or "").read_text() == text


def test_which_files_are_the_catalogue_is_clear_or_asked(tmp_path: Path) -> None:
    table = pl.DataFrame({"item_id": ["a"], "title": ["lamp"]})
    table.write_parquet(tmp_path / "interactions.parquet")  # of whatever columns
    with pytest.raises(DataError, match=r"holds no items\.parquet or"):
        Catalogue(tmp_path)
    folder = tmp_path / "items"
    folder.mkdir()
    table.write_parquet(folder / "part-0.parquet")
    (folder / "_SUCCESS").touch()
    assert [file.name for file in Catalogue(tmp_path).files] == ["part-0.parquet"]
    table.write_csv(folder / "part-1.csv")
    with pytest.raises(DataError, match=r"formats, as part-0\.parquet and part-1\.csv"):
        Catalogue(tmp_path)
    (folder / "part-1.csv").rename(tmp_path / "items.csv")
    with pytest.raises(DataError, match=r"holds items\.csv and shards in items/"):
        Catalogue(tmp_path)


def test_command_says_what_it_did(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _parquet(tmp_path / "items.parquet")
    (tmp_path / "learn.yaml").write_text(
        f"state: {config.state}\nencoder: {{model: {config.encoder.model}, template: '{{title}}'}}\n"
    )
    monkeypatch.setenv("LEARN_CONFIG", str(tmp_path / "learn.yaml"))
    listed = tmp_path / "elsewhere" / "bad.csv"
    done = CliRunner().invoke(app, ["embed", str(file), "--json", "--bad-items", str(listed)])
    assert done.exit_code == 3, done.output
    assert json.loads(done.stdout)["without_vector"] == 3
    assert listed.exists()
    shown = CliRunner().invoke(app, ["embed", str(file)])
    assert "items unchanged" in shown.stdout
    pl.DataFrame({"item_id": ["a"], "title": ["shoe"]}).write_parquet(file)
    assert CliRunner().invoke(app, ["embed", str(file)]).exit_code == 0
    compacted = CliRunner().invoke(app, ["content", "compact", "--json"])
    assert json.loads(compacted.stdout)["shards_after"] == 2


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No file may grow beyond 3 kB: a write fails as on a full disk."""
    # Python would cut the compiled files of modules short, too, and stumble over them ever after
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_disk_full_keeps_what_was_written_and_leaves_no_half_file(
    config: Config, request: pytest.FixtureRequest
) -> None:
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(70)], "title": [f"lamp {n}" for n in range(70)]})
    embed_catalogue(config, items[:4])
    request.getfixturevalue("small_files")
    with pytest.raises(StoreUnavailable, match=r"the disk is full.*give the same command again"):
        embed_catalogue(config, items, shard_items=60)
    assert not list(Path(config.content).rglob("*.tmp"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    again = embed_catalogue(config, items)
    assert (again.encoded, again.unchanged) == (66, 4)


def test_a_damaged_shard_is_set_aside_and_its_items_encoded_again(config: Config) -> None:
    items = pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["lamp", "shoe", "pen"]})
    embed_catalogue(config, items[:2])
    embed_catalogue(config, items)
    before = open_store(config).lookup(["a", "b", "c"])[0]
    shard = min(Path(config.content).rglob("vectors-*"))
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(raw)
    report = embed_catalogue(config, items)
    assert (report.damaged_shards, report.encoded, report.unchanged) == (1, 2, 1)
    assert (shard.parent / "damaged" / shard.name).exists()
    np.testing.assert_array_equal(open_store(config).lookup(["a", "b", "c"])[0], before)


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "items.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"items\.parquet: cannot be read as parquet"):
        list(Catalogue(tmp_path).blocks())
    with pytest.raises(DataError, match="no such folder or file"):
        Catalogue(tmp_path / "nowhere")
    (tmp_path / "items.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match=r"items\.xlsx: is none of \.parquet, \.csv, \.jsonl"):
        Catalogue(tmp_path / "items.xlsx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no items\.parquet"):
        Catalogue(tmp_path / "empty")


def test_weights_that_are_damaged_are_named(config: Config) -> None:
    weights = Path(config.encoder.model) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000])
    with pytest.raises(ConfigError, match=r"cannot load .*model as a text encoder: "):
        embed_catalogue(config, pl.DataFrame({"item_id": ["a"], "title": ["lamp"]}))
