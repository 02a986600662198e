"""Decoders of two families: against one text at a time, padding sides, packed and padded batches, memory."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from learn_features.config import EncoderConfig
from learn_features.content import torch_model
from learn_features.content.encoder import Encoder, open_encoder
from learn_features.content.spec import encoder_spec
from learn_features.errors import ConfigError, DataError
from tests.content.decoders import FAMILIES, write_decoder

TEXTS = ["running shoe", "lamp", "a coffee machine " * 40, "钢笔 и ручка", "brand price", "lamps"]


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_decoder(tmp_path / "model", request.param)


def _open(folder: Path, **settings: object) -> Encoder:
    return open_encoder(EncoderConfig(model=str(folder), **settings), device="cpu")


def _plain(folder: Path, pooling: str) -> np.ndarray:
    """One text at a time with transformers alone: the reference."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    pooled = []
    for text in TEXTS:
        with torch.no_grad():
            inputs = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
            inputs.pop("token_type_ids", None)
            hidden = model(**inputs).last_hidden_state[0]
        pooled.append({"mean": hidden.mean(0), "last": hidden[-1], "cls": hidden[0]}[pooling].numpy())
    return np.stack(pooled)


@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
def test_against_one_text_at_a_time(folder: Path, pooling: str) -> None:
    encoder = _open(folder, pooling=pooling)
    assert not encoder.model.padded
    np.testing.assert_allclose(encoder.encode(TEXTS), _plain(folder, pooling), atol=3e-3)


def test_padded_batches_give_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = _open(folder).encode(TEXTS).astype(np.float32)
    monkeypatch.setattr(torch_model.TorchModel, "_packed_from", lambda self: None)
    padded = _open(folder)
    assert padded.model.padded
    np.testing.assert_allclose(padded.encode(TEXTS).astype(np.float32), packed, atol=3e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_sides_of_padding_are_the_same(family: str, tmp_path: Path) -> None:
    left, right = (write_decoder(tmp_path / side, family, padding_side=side) for side in ("left", "right"))
    np.testing.assert_array_equal(_open(left).encode(TEXTS), _open(right).encode(TEXTS))


def test_composition_of_batches_does_not_matter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = _open(folder)
    together = encoder.encode(TEXTS).astype(np.float32)
    monkeypatch.setattr(encoder.model, "workers", 3)
    monkeypatch.setattr(encoder.model, "budget", 30)
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1].astype(np.float32), together, atol=3e-3)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS]).astype(np.float32)
    np.testing.assert_allclose(alone, together, atol=3e-3)


def test_a_model_that_looks_beyond_its_text_is_run_padded(tmp_path: Path) -> None:
    """A window shorter than the texts is not what packed attention does."""
    folder = write_decoder(tmp_path / "model", "qwen3")
    settings = (
        (folder / "config.json")
        .read_text()
        .replace('"use_sliding_window": false', '"use_sliding_window": true')
    )
    settings = settings.replace('"sliding_window": null', '"sliding_window": 4').replace(
        '"full_attention"', '"sliding_attention"'
    )
    (folder / "config.json").write_text(settings)
    encoder = _open(folder)
    assert encoder.model.padded
    np.testing.assert_allclose(encoder.encode(TEXTS), _plain(folder, "mean"), atol=3e-3)


def test_out_of_memory_halves_the_budget_and_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = _open(folder).encode(TEXTS)
    encoder = _open(folder)
    launch = torch_model.TorchModel._launch
    limit = max(encoder.tokenizer(TEXTS).lengths)
    sizes = []

    def small_device(self: torch_model.TorchModel, texts: list) -> object:
        sizes.append(sum(map(len, texts)))
        if sizes[-1] > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return launch(self, texts)

    monkeypatch.setattr(torch_model.TorchModel, "_launch", small_device)
    np.testing.assert_allclose(encoder.encode(TEXTS * 4), np.tile(expected, (4, 1)), atol=3e-3)
    assert encoder.model.budget <= limit
    assert "going on with" in caplog.text
    sizes.clear()
    encoder.encode(TEXTS * 4)
    assert max(sizes) <= limit  # the lower budget stays


def test_one_text_that_does_not_fit_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = _open(folder)

    def tiny(self: torch_model.TorchModel, texts: list) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch_model.TorchModel, "_launch", tiny)
    with pytest.raises(DataError, match=r"single text of \d+ tokens"):
        encoder.encode(TEXTS)


def test_a_text_without_tokens_has_no_vector(tmp_path: Path) -> None:
    encoder = _open(write_decoder(tmp_path / "model", "qwen3"))
    extraction = encoder.extract(["lamp", "", "shoe"])
    assert list(extraction.problems) == [1]
    assert extraction.vectors[[0, 2]].any(axis=1).all()
    assert not extraction.vectors[1].any()


def test_folder_without_safetensors(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "model", "llama")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"no .*safetensors.*pickled weights are not read"):
        _open(folder)


def test_a_revision_that_moved(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "model", "llama")
    revision = encoder_spec(EncoderConfig(model=str(folder))).revision
    assert _open(folder, revision=revision).spec.revision == revision
    shutil.rmtree(folder)
    write_decoder(folder, "qwen3")
    with pytest.raises(ConfigError, match="other weights are another embedding space"):
        _open(folder, revision=revision)


def test_code_of_a_model_runs_only_by_name(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "model", "llama")
    code = "from transformers import LlamaConfig, LlamaModel\n\n"
    code += "class Mine(LlamaModel):\n    config_class = LlamaConfig\n"
    (folder / "mine.py").write_text(code)
    settings = (folder / "config.json").read_text().rstrip().rstrip("}")
    (folder / "config.json").write_text(settings + ', "auto_map": {"AutoModel": "mine.Mine"}}')
    assert type(_open(folder).model.module).__name__ == "LlamaModel"
    with pytest.raises(ConfigError, match=r"pin what you have read with encoder\.revision"):
        _open(folder, trust_remote_code=True)
    with pytest.raises(ConfigError) as refused:
        _open(folder, trust_remote_code=True, revision="sha256:0")
    revision = next(
        word for word in str(refused.value).split() if word.startswith("sha256:") and len(word) > 60
    )
    trusted = _open(folder, trust_remote_code=True, revision=revision.rstrip(":"))
    assert type(trusted.model.module).__name__ == "Mine"
    (folder / "mine.py").write_text(code + "\n# something else\n")
    with pytest.raises(ConfigError, match="other weights"):
        _open(folder, trust_remote_code=True, revision=revision.rstrip(":"))
