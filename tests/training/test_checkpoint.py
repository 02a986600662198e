import json

import numpy as np
import pytest
import torch

from learn_features.data.digest import digest
from learn_features.errors import BundleError, ConfigError
from learn_features.training import checkpoint
from learn_features.training.checkpoint import Checkpoints, check_tensors
from learn_features.training.content_file import map_content
from learn_features.training.content_table import ContentTable
from tests.training.world import content_of

INPUTS = {"towers": {"width": 64, "layers": 2}, "recipe": {"epochs": 10}, "seed": 0, "data": "ab"}


def put(folder, inputs=INPUTS, value: float = 1.0, counter: int = 1) -> Checkpoints:
    checkpoints = Checkpoints(folder, inputs, 60)
    checkpoints.load()
    checkpoints.save({"step": counter, "score": 0.1 + 0.2}, {"model/a": torch.full((2, 3), value)})
    return checkpoints


def test_the_newest_is_read_back_and_alone(tmp_path):
    put(tmp_path)
    put(tmp_path, value=2.0, counter=2)
    saved = Checkpoints(tmp_path, INPUTS, 60).load()
    assert saved.counters == {"step": 2, "score": 0.1 + 0.2}  # floats come back bit for bit
    assert torch.equal(saved.tensors["model/a"], torch.full((2, 3), 2.0))
    assert sorted(file.name for file in (tmp_path / "checkpoint").iterdir()) == [
        "state.json", "tensors-00000002.safetensors",
    ]  # fmt: skip


def test_killed_while_it_is_written_the_one_before_holds(tmp_path, monkeypatch):
    put(tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        put(tmp_path, value=2.0, counter=2)
    monkeypatch.undo()
    saved = Checkpoints(tmp_path, INPUTS, 60).load()
    assert saved.counters["step"] == 1
    assert torch.equal(saved.tensors["model/a"], torch.full((2, 3), 1.0))
    put(tmp_path, counter=3)
    assert len(list((tmp_path / "checkpoint").iterdir())) == 2


def test_none_where_none_was_written_or_it_was_cleared(tmp_path):
    assert Checkpoints(tmp_path, INPUTS, 60).load() is None
    put(tmp_path).clear()
    assert Checkpoints(tmp_path, INPUTS, 60).load() is None
    assert not (tmp_path / "checkpoint").exists()


def test_other_inputs_are_named(tmp_path):
    put(tmp_path)
    other = {**INPUTS, "seed": 3, "recipe": {"epochs": 12, "ema": 0.9}}
    with pytest.raises(ConfigError, match=r"\(recipe.ema None → 0.9, recipe.epochs 10 → 12, seed 0 → 3\)"):
        Checkpoints(tmp_path, other, 60).load()


def test_another_architecture_is_named(tmp_path):
    put(tmp_path)
    other = {**INPUTS, "towers": {"width": 64, "layers": 3}, "seed": 3}
    with pytest.raises(BundleError, match=r"another architecture \(towers.layers 2 → 3\)"):
        Checkpoints(tmp_path, other, 60).load()


def test_another_release_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 3)
    put(tmp_path)
    monkeypatch.undo()
    with pytest.raises(
        BundleError, match=rf"another release \(format 3, here {checkpoint.FORMAT}\).* --fresh"
    ):
        Checkpoints(tmp_path, {**INPUTS, "towers": {}}, 60).load()


def test_tensors_of_another_release_are_named():
    saved = {"model/a": torch.zeros(2, 3)}
    check_tensors(saved, {"model/a": torch.ones(2, 3)})
    with pytest.raises(BundleError, match=r"model/a is \(2, 3\) torch.float32 where \(3, 3\)"):
        check_tensors(saved, {"model/a": torch.zeros(3, 3)})
    with pytest.raises(BundleError, match="model/b is missing"):
        check_tensors(saved, {"model/b": torch.zeros(3, 3)})


def test_damage_is_named(tmp_path):
    put(tmp_path)
    tensors = tmp_path / "checkpoint" / "tensors-00000001.safetensors"
    whole = tensors.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 0x80])
    another_step = whole.replace(rb"{\"step\": 1", rb"{\"step\": 2")
    assert another_step != whole
    for broken in (whole[:-5], flipped, another_step):
        tensors.write_bytes(broken)
        with pytest.raises(BundleError, match=r"tensors-00000001.*: is damaged .* --fresh"):
            Checkpoints(tmp_path, INPUTS, 60).load()
    tensors.unlink()
    with pytest.raises(BundleError, match=r"tensors-00000001.*: cannot be read .* --fresh"):
        Checkpoints(tmp_path, INPUTS, 60).load()
    state = tmp_path / "checkpoint" / "state.json"
    known = json.loads(state.read_text())
    for broken, said in (
        (json.dumps({"inputs": INPUTS}), "tensors: Field required"),
        (json.dumps({**known, "inputs": 3}), "inputs: Input should be an object"),
        ("[]", "state: Input should be an object"),
        (json.dumps(known)[:-1], "state: Invalid JSON"),
    ):
        state.write_text(broken)
        with pytest.raises(BundleError, match=rf"state.json: is no checkpoint \(.*{said}.*--fresh"):
            Checkpoints(tmp_path, INPUTS, 60).load()


def test_a_digest_tells_values_shapes_and_types_apart():
    table = np.arange(6, dtype=np.float16).reshape(2, 3)
    assert digest(table) == digest(table.copy(order="F"))
    others = [table + 1, table.reshape(3, 2), table.astype(np.float32), table[:0]]
    assert len({digest(part) for part in [table, *others]}) == 5


def test_content_on_disk_is_read_in_place(tmp_path):
    """A memory map becomes the table without a copy, and rows are the array's."""
    content = content_of()
    np.save(tmp_path / "content.npy", content)
    mapped = map_content(tmp_path / "content.npy")
    table = ContentTable(mapped, torch.device("cpu"))
    assert table._table.data_ptr() == mapped.ctypes.data
    items = torch.tensor([[3, 0], [7, 7]])
    expected = torch.from_numpy(content.astype(np.float32))[items]
    torch.testing.assert_close(table[items], expected)
    torch.testing.assert_close(table.rows(items.numpy()), expected)
    table.resident = False  # as where it does not fit on the GPU
    torch.testing.assert_close(table[items], expected)
    torch.testing.assert_close(table.rows(items.numpy()), expected)
