from itertools import pairwise

import numpy as np
import pytest
import torch

from learn_features.data.cases import Cases
from learn_features.towers import scoring
from learn_features.towers.residuals import ItemResiduals

from .conftest import save_run


@pytest.fixture
def cases() -> Cases:
    lengths = np.array([2, 0, 9, 1, 5, 30])
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Cases(
        user_ids=[f"u{i}" for i in range(len(lengths))],
        history_offsets=offsets,
        history_items=rng.integers(0, 20, offsets[-1]).astype(np.int32),
        history_times_us=np.cumsum(rng.integers(0, 10**10, offsets[-1])),
        target_offsets=np.arange(len(lengths) + 1),
        target_items=np.zeros(len(lengths), dtype=np.int32),
        request_times_us=np.zeros(len(lengths), dtype=np.int64),
    )


def slow_scores(towers, content, cases, max_length, residuals=None):
    rows = []
    of_all = None if residuals is None else torch.from_numpy(residuals)
    items = towers.item(torch.from_numpy(content).float(), of_all)
    for case in range(len(cases)):
        history = cases.history(case)[-max_length:]
        if len(history) == 0:
            rows.append(np.zeros(len(content), dtype=np.float32))
            continue
        sequence = torch.from_numpy(content[history]).float()[None]
        times = cases.history_times_us[: cases.history_offsets[case + 1]][-len(history) :].tolist()
        gaps = torch.tensor([[-1.0, *((b - a) / 1e6 for a, b in pairwise(times))]])
        user = towers.user(
            sequence,
            torch.tensor([len(history)]),
            None if of_all is None else of_all[torch.from_numpy(history).long()][None],
            gaps if towers.config.time_gaps else None,
        )
        rows.append((user @ items.T).detach().numpy()[0])
    return np.stack(rows)


@pytest.mark.parametrize("tokens", [4, 17, 10_000])
def test_scores_are_those_of_one_case_after_the_other(make_towers, cases, tokens, monkeypatch):
    monkeypatch.setattr(scoring, "TOKENS", tokens)
    content = np.random.default_rng(1).normal(size=(20, 12)).astype(np.float16)
    towers = make_towers()
    scores = scoring.scorer(towers, content)(cases)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, slow_scores(towers, content, cases, 6), atol=1e-5)
    assert not scores[1].any()


@pytest.mark.parametrize("tokens", [17, 10_000])
def test_scores_with_residuals_and_time_gaps(make_towers, cases, tokens, monkeypatch):
    monkeypatch.setattr(scoring, "TOKENS", tokens)
    rng = np.random.default_rng(1)
    content = rng.normal(size=(20, 12)).astype(np.float16)
    residuals = rng.normal(size=(20, 8)).astype(np.float32) * (np.arange(20) % 2)[:, None]
    towers = make_towers(residuals=True, time_gaps=True)
    expected = slow_scores(towers, content, cases, 6, residuals.astype(np.float32))
    for given in (residuals, torch.nn.Parameter(torch.from_numpy(residuals))):
        scores = scoring.scorer(towers, content, given)(cases)
        np.testing.assert_allclose(scores, expected, atol=1e-5)
    without = scoring.scorer(towers, content)(cases)
    np.testing.assert_allclose(without, slow_scores(towers, content, cases, 6), atol=1e-5)
    assert np.abs(without - expected).max() > 0.1


def test_a_run_folder_brings_its_residuals(make_towers, cases, tmp_path):
    rng = np.random.default_rng(1)
    content = rng.normal(size=(20, 12)).astype(np.float16)
    ids = [f"i{row}" for row in range(20)]
    residuals = rng.normal(size=(20, 8)).astype(np.float32)
    residuals[7:] = 0  # new items
    towers = make_towers(residuals=True)
    known = ItemResiduals.of(ids[:7][::-1], residuals[:7][::-1])
    save_run(towers, tmp_path, residuals=known, max_length=6)
    scores = scoring.tower_scorer(tmp_path, content, ids)(cases)
    np.testing.assert_allclose(scores, slow_scores(towers, content, cases, 6, residuals), atol=1e-5)


def test_a_run_folder_brings_its_history_length(make_towers, cases, tmp_path):
    content = np.random.default_rng(1).normal(size=(20, 12)).astype(np.float16)
    towers = make_towers(max_length=4)
    save_run(towers, tmp_path, max_length=4)
    scores = scoring.tower_scorer(tmp_path, content, [f"i{row}" for row in range(20)])(cases)
    np.testing.assert_allclose(scores, slow_scores(towers, content, cases, 4), atol=1e-5)
