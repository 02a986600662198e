import json

import numpy as np
import pytest
import torch

from learn_features.contracts.history import HistoryRule
from learn_features.data.cases import Cases
from learn_features.towers import scoring
from learn_features.towers.weights import save_towers


@pytest.fixture
def cases() -> Cases:
    lengths = np.array([2, 0, 9, 1, 5, 30])
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Cases(
        user_ids=[f"u{i}" for i in range(len(lengths))],
        history_offsets=offsets,
        history_items=rng.integers(0, 20, offsets[-1]).astype(np.int32),
        history_times_us=np.zeros(offsets[-1], dtype=np.int64),
        target_offsets=np.arange(len(lengths) + 1),
        target_items=np.zeros(len(lengths), dtype=np.int32),
        request_times_us=np.zeros(len(lengths), dtype=np.int64),
    )


def slow_scores(towers, content, cases, max_length):
    rows = []
    for case in range(len(cases)):
        history = cases.history(case)[-max_length:]
        if len(history) == 0:
            rows.append(np.zeros(len(content), dtype=np.float32))
            continue
        sequence = torch.from_numpy(content[history]).float()[None]
        user = towers.user(sequence, torch.tensor([len(history)]))
        rows.append((user @ towers.item(torch.from_numpy(content).float()).T).detach().numpy()[0])
    return np.stack(rows)


@pytest.mark.parametrize("tokens", [4, 17, 10_000])
def test_scores_are_those_of_one_case_after_the_other(make_towers, cases, tokens, monkeypatch):
    monkeypatch.setattr(scoring, "TOKENS", tokens)
    content = np.random.default_rng(1).normal(size=(20, 12)).astype(np.float16)
    towers = make_towers()
    scores = scoring.scorer(towers, content, max_length=6)(cases)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, slow_scores(towers, content, cases, 6), atol=1e-5)
    assert not scores[1].any()


def test_a_run_folder_brings_its_history_length(make_towers, cases, tmp_path):
    content = np.random.default_rng(1).normal(size=(20, 12)).astype(np.float16)
    towers = make_towers()
    save_towers(towers, tmp_path / "weights.safetensors")
    about = {"towers": towers.config.model_dump(), "history": HistoryRule(max_length=4).model_dump()}
    (tmp_path / "run.json").write_text(json.dumps(about))
    scores = scoring.tower_scorer(tmp_path, content, [f"i{row}" for row in range(20)])(cases)
    np.testing.assert_allclose(scores, slow_scores(towers, content, cases, 4), atol=1e-5)
