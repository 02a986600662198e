"""The smoke run has all claims, and they are what the rows say; the work counted is that of the model."""

import json

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from benchmarks import content_extraction
from benchmarks.flops import model_flops

CLAIMS = {
    "vs_sentence_transformers",
    "min_cosine",
    "share_of_gemm_peak",
    "share_outside_model",
    "vs_sentence_transformers_fast",
    "vs_authors_way",
    "reembed_1pct_cost",
    "peak_memory_growth",
}


@pytest.mark.long
def test_quick_run(capsys: pytest.CaptureFixture[str]) -> None:
    content_extraction.main(["--quick", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["benchmark"] == "content_extraction"
    claims = result["claims"]
    assert claims.keys() - {"gpu_mfu"} == CLAIMS
    assert claims["min_cosine"] >= 0.999
    assert all(value >= 0 for value in claims.values())
    rows = {row["what"]: row for row in result["rows"]}
    assert rows["ours, fp32"]["times_peer"] == pytest.approx(claims["vs_sentence_transformers"])
    assert rows["sentence-transformers, torch"]["times_peer"] == 1
    assert rows["the same, 1 % changed"]["items"] == 1
    assert {"sentence-transformers, ONNX", "catalogue → store", "latency, 64 texts"} <= rows.keys()


def test_flops_of_a_small_model_by_hand() -> None:
    shape = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    lengths = np.array([3, 5])
    linear = 2 * (4 * 8 * 8 + 2 * 8 * 16)  # weights of both layers, the pooler's left out
    attention = 2 * (2 * 8 * (9 + 25) * 2)  # QKᵀ and AV
    with torch.device("meta"):
        model = BertModel(shape)
    assert model_flops(model, lengths) == 2 * linear * 8 + attention
