"""Folded biases against the model itself, one text at a time, with weights and biases far from nothing."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel, RobertaConfig, RobertaModel

from learn_features.content import attention
from learn_features.content.encoder import Encoder
from learn_features.content.folded_bert import FoldedBert

LENGTHS = np.array([9, 9, 4, 1])
SHAPE = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
}


def _random(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("model", "first_position"),
    [
        (BertModel(BertConfig(**SHAPE)), 0),
        (BertModel(BertConfig(**SHAPE, hidden_act="relu", layer_norm_eps=1e-2)), 0),
        (RobertaModel(RobertaConfig(**SHAPE)), 1),
    ],
)
@torch.inference_mode()
def test_equals_the_model(model: torch.nn.Module, first_position: int) -> None:
    _random(model)
    assert FoldedBert.fits(model)
    texts = [torch.randint(1, 50, (1, length)) for length in LENGTHS]
    positions = [torch.arange(length)[None] + first_position for length in LENGTHS]
    expected = torch.cat(
        [
            model(input_ids=ids, position_ids=places).last_hidden_state[0]
            for ids, places in zip(texts, positions, strict=True)
        ]
    )
    with attention.texts_of_lengths(LENGTHS, torch.device("cpu")):
        found = FoldedBert(model)(
            input_ids=torch.cat(texts, 1),
            position_ids=torch.cat(positions, 1),
            token_type_ids=torch.zeros(1, LENGTHS.sum(), dtype=torch.int64),
        )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_what_does_not_fit() -> None:
    llama = {name: SHAPE[name] for name in SHAPE if name != "pad_token_id"}
    assert not FoldedBert.fits(LlamaModel(LlamaConfig(**llama)))
    assert not FoldedBert.fits(BertModel(BertConfig(**SHAPE, is_decoder=True)))
    assert not FoldedBert.fits(BertModel(BertConfig(**SHAPE)).to(torch.bfloat16))
    odd = BertModel(BertConfig(**SHAPE))
    odd.encoder.layer[1].attention.self.query.bias = None
    assert not FoldedBert.fits(odd)
    odd.encoder.layer[1].attention.self.query = torch.nn.Identity()  # of another library, with no weight
    assert not FoldedBert.fits(odd)


def test_minilm_is_run_folded(encoder: Encoder) -> None:
    assert encoder.model._folded is not None  # type: ignore[union-attr]
