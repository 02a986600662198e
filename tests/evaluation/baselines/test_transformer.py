"""The next-item transformer: looks back only, learns what can be learnt, repeats itself by seed."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines import transformer_baseline, transformer_training
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.sasrec import ItemIds, SASRec
from learn_features.evaluation.baselines.text_model import TextModel
from learn_features.evaluation.baselines.transformer import MAX_LENGTH, Transformer, TransformerParameters
from learn_features.evaluation.baselines.transformer_training import (
    TrainedTransformer,
    scorer,
    train_transformer,
)
from learn_features.evaluation.harness import evaluate

MakeCases = Callable[..., Cases]
MakeSequences = Callable[..., Sequences]
MakeTask = Callable[..., Task]
FEW = TransformerParameters(layers=1, learning_rate=1e-2, epochs=8, stop=8)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformer_training, "TARGETS_PER_STEP", 64)


def _chains(n: int, users: int, seed: int = 0) -> list[list[int]]:
    """After item i comes i + 1, mostly."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(n, size=users)
    return [[int(start + step) % n for step in range(6)] for start in starts]


@pytest.mark.parametrize("normalised", [True, False])
def test_positions_see_only_what_came_before(normalised: bool) -> None:
    torch.manual_seed(0)
    model = Transformer(
        ItemIds(torch.ones(9, dtype=torch.bool)), 9, replace(FEW, normalised=normalised)
    ).eval()
    table = model.table()
    history = torch.tensor([[1, 2, 3, 4]])
    changed = torch.tensor([[1, 2, 7, 0]])
    before, after = model.users(table, history), model.users(table, changed)
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2], after[:, 2])
    assert model.logits(before[0], table).shape == (4, 9)


@pytest.mark.parametrize("normalised", [True, False])
def test_ids_learn_what_follows(
    normalised: bool, make_cases: MakeCases, make_sequences: MakeSequences, make_task: MakeTask
) -> None:
    log = make_sequences(_chains(30, 150))
    cases = make_cases([[9, 10, n] for n in range(30)], [[(n + 1) % 30] for n in range(30)])
    task = make_task(log, cases, 32)
    scores = SASRec().fit(task, log, replace(FEW, normalised=normalised))
    assert evaluate({"": scores}, cases, ks=(1,))[""].means()["recall_at_1"] > 0.9
    again = SASRec().fit(task, log, replace(FEW, normalised=normalised))(cases)
    assert np.array_equal(scores(cases), again)
    other = SASRec().fit(replace(task, seed=1), log, replace(FEW, normalised=normalised))(cases)
    assert not np.array_equal(again, other)


def test_text_carries_over_to_items_never_seen(
    make_cases: MakeCases, make_sequences: MakeSequences, make_task: MakeTask
) -> None:
    """Items n and 20 + n have nearly the same text; only the first twenty are in the log."""
    rng = np.random.default_rng(1)
    content = rng.normal(size=(40, 12)).astype(np.float16)
    content[20:] = content[:20] + 0.02 * rng.normal(size=(20, 12))
    log = make_sequences(_chains(20, 120))
    cases = make_cases([[20 + n] for n in range(20)], [[20 + (n + 1) % 20] for n in range(20)])
    task = make_task(log, cases, 40, content=content)
    scores = TextModel().fit(task, log, FEW)
    cold = np.arange(40) >= 20
    found = evaluate({"": scores}, cases, ks=(1, 2), candidates=cold)[""].means()
    assert found["recall_at_1"] > 0.7
    by_id = SASRec().fit(task, log, FEW)
    assert evaluate({"": by_id}, cases, ks=(1,), candidates=cold)[""].means()["recall_at_1"] == 0
    assert TextModel().refusal(replace(task, content=None)) == "there are no content vectors"


def test_training_keeps_the_best_epoch_and_ends_without_progress(
    make_cases: MakeCases, make_sequences: MakeSequences
) -> None:
    log = make_sequences(_chains(20, 40))
    values = iter([0.1, 0.3, 0.2, 0.3, 0.1, 0.9])
    seen = np.ones(20, dtype=bool)

    def items() -> ItemIds:
        return ItemIds(torch.from_numpy(seen))

    trained = train_transformer(log, items, 20, FEW, seed=0, validate=lambda scores: next(values))
    assert (trained.stop, trained.value) == (2, 0.3)
    assert next(values) == 0.9
    hasty = train_transformer(
        log, items, 20, FEW, seed=0, validate=lambda scores: 0.5, out_of_time=lambda: True
    )
    assert hasty.stop == 1
    fixed = train_transformer(log, items, 20, replace(FEW, stop=2), seed=0)
    cases = make_cases([[3]], [[4]])
    # two epochs of eight are the same two epochs, watched or not
    watched = train_transformer(
        log, items, 20, FEW, seed=0, validate=lambda scores: 1.0, out_of_time=_after(2)
    )
    assert np.array_equal(scorer(fixed.model)(cases), scorer(watched.model)(cases))


def _after(epochs: int) -> Callable[[], bool]:
    ended = iter([False] * (epochs - 1) + [True])
    return lambda: next(ended)


def test_long_histories_are_cut_into_pieces_that_miss_no_pair(make_sequences: MakeSequences) -> None:
    lengths = [1, 2, MAX_LENGTH, MAX_LENGTH + 1, MAX_LENGTH + 2, 3 * MAX_LENGTH]
    log = make_sequences([[0] * length for length in lengths])
    starts, ends = transformer_training._windows(log)
    assert (ends - starts).max() == MAX_LENGTH + 1
    targets = np.concatenate([np.arange(a + 1, b) for a, b in zip(starts, ends, strict=True)])
    expected = np.setdiff1d(np.arange(len(log.items)), log.offsets[:-1])
    assert np.sort(targets).tolist() == expected.tolist()
    rows = np.concatenate(list(transformer_training._batches(starts, ends, np.random.default_rng(0))))
    assert np.sort(rows).tolist() == list(range(len(starts)))


def test_empty_histories_score_nothing(make_cases: MakeCases) -> None:
    model = Transformer(ItemIds(torch.ones(5, dtype=torch.bool)), 5, FEW)
    scores = scorer(model)(make_cases([[], [1, 2]], [[1], [3]]))
    assert scores[0].tolist() == [0] * 5
    assert np.ptp(scores[1]) > 0


def test_tuning_reports_the_epochs_it_stopped_at(
    make_cases: MakeCases, make_sequences: MakeSequences, make_task: MakeTask
) -> None:
    log = make_sequences(_chains(12, 20))
    task = make_task(log, make_cases([[n] for n in range(11)], [[n + 1] for n in range(11)]), 12)
    tries = SASRec().tune(task, 0)  # no time: the first parameters for one epoch
    assert list(tries.tried) == [replace(transformer_baseline.START, stop=1)]
    assert tries.cut


def test_a_last_epoch_is_not_cut_short(make_sequences: MakeSequences) -> None:
    asked = []

    def out_of_time() -> bool:
        asked.append(True)
        return False

    log, two = make_sequences(_chains(20, 40)), replace(FEW, epochs=2, stop=2)
    train_transformer(
        log, lambda: ItemIds(torch.ones(20, dtype=torch.bool)), 20, two,
        seed=0, validate=lambda scores: 0.5, out_of_time=out_of_time,
    )  # fmt: skip
    assert len(asked) == 1


def test_tuning_keeps_what_gains_and_shares_its_seconds_by_epochs(
    make_cases: MakeCases,
    make_sequences: MakeSequences,
    make_task: MakeTask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[TransformerParameters] = []
    shares: list[float] = []
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def worth(p: TransformerParameters) -> float:
        return 0.1 * (p.layers == 1) + 0.01 * p.epochs - 0.05 * (p.dropout > 0.2) - 0.5 * (not p.normalised)

    def pretend(
        log: Sequences, items: object, n: int, parameters: TransformerParameters, **rest: Any
    ) -> TrainedTransformer:
        nonlocal now
        tried.append(parameters)
        begin = now
        while not rest["out_of_time"]():
            now += 0.5
        shares.append(now - begin)
        return TrainedTransformer(None, parameters.epochs - 1, worth(parameters))  # type: ignore[arg-type]

    monkeypatch.setattr(transformer_baseline, "train_transformer", pretend)
    log = make_sequences(_chains(12, 20))
    tries = SASRec().tune(make_task(log, make_cases([[0]], [[1]]), 12), 720)
    assert [(p.layers, p.epochs, p.dropout) for p in tried] == [
        (2, 12, 0.2), (1, 12, 0.2), (1, 12, 0.5), (1, 12, 0.2), (1, 24, 0.2),
    ]  # fmt: skip
    assert all(p.stop == p.epochs for p in tried)
    assert tries.best == replace(tried[-1], stop=23)
    # 72 epochs in 720 seconds
    assert shares == pytest.approx([120, 120, 120, 120, 240], abs=4)
