"""The reduced precision for CPUs: near fp32, the same whatever else is in a batch, exported once."""

import numpy as np
import pytest
import torch

from learn_features.config import EncoderConfig
from learn_features.content import int8_model
from learn_features.content.encoder import Encoder, open_encoder
from learn_features.content.spec import encoder_spec
from learn_features.errors import ConfigError
from tests.content.decoders import write_decoder

TEXTS = [
    "Item title is running shoe",
    "lamp",
    "coffee machine with a grinder " * 30,
    "钢笔 и ручка",
    "Stainless steel bottle, 750 ml",
]


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return open_encoder(EncoderConfig(precision="int8"))


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float32), b.astype(np.float32)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_vectors_are_near_those_of_fp32(int8: Encoder, encoder: Encoder) -> None:
    assert _cosine(int8.encode(TEXTS), encoder.encode(TEXTS)).min() > 0.98
    assert int8.spec.id != encoder.spec.id
    assert int8.spec.precision == "int8"


def test_other_texts_do_not_change_a_vector(int8: Encoder) -> None:
    """Not to the last bit of fp16: the scale of activations is each text's own."""
    together = int8.encode(TEXTS * 3)
    alone = np.concatenate([int8.encode([text]) for text in TEXTS * 3])
    np.testing.assert_array_equal(together, alone)


def test_the_graph_is_exported_once(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_decoder(tmp_path_factory.mktemp("decoder"), "llama")
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    config = EncoderConfig(model=str(folder), precision="int8", pooling="last", normalize=True)
    first = open_encoder(config)
    plain = open_encoder(config.model_copy(update={"precision": "fp32"}), device="cpu")
    assert _cosine(first.encode(TEXTS), plain.encode(TEXTS)).min() > 0.9
    (graph,) = (cache / "learn-features" / "graphs").iterdir()
    assert graph.name.startswith(encoder_spec(config).id)
    monkeypatch.setattr(int8_model, "export", lambda *_: pytest.fail("exported again"))
    np.testing.assert_array_equal(open_encoder(config).encode(TEXTS), first.encode(TEXTS))


def test_a_graph_that_is_not_the_model_is_refused(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_decoder(tmp_path_factory.mktemp("decoder"), "llama")
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    session = int8_model.session

    class Off:
        def __init__(self, graph: object) -> None:
            self._session = session(graph)

        def run(self, *arguments: object) -> list:
            return [self._session.run(*arguments)[0] * 1.01]

    monkeypatch.setattr(int8_model, "session", Off)
    with pytest.raises(ConfigError, match="differs from torch"):
        open_encoder(EncoderConfig(model=str(folder), precision="int8"))
    assert not list((cache / "learn-features" / "graphs").iterdir())


def test_a_machine_that_cannot_run_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    with pytest.raises(ConfigError, match="int8, which this cpu does not run natively"):
        open_encoder(EncoderConfig(precision="int8"))
    with pytest.raises(ConfigError, match="int8, which this cuda does not run natively"):
        open_encoder(EncoderConfig(precision="int8"), device="cuda")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(ConfigError, match="bf16, which this cpu does not run natively"):
        open_encoder(EncoderConfig(precision="bf16"), device="cpu")
