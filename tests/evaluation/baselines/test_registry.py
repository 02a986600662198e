"""`tuned`: all by name, what cannot run says why, test cases stay out of sight."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.errors import ConfigError
from learn_features.evaluation.baselines import BASELINES, QUICK, tuned
from learn_features.evaluation.baselines.baseline import Task

MakeCases = Callable[..., Cases]
MakeSequences = Callable[..., Sequences]


@pytest.fixture
def parts(make_cases: MakeCases, make_sequences: MakeSequences) -> Split:
    rng = np.random.default_rng(0)
    rows = [[int(start + n) % 15 for n in range(6)] for start in rng.integers(15, size=30)]
    train, both = make_sequences([row[:4] for row in rows]), make_sequences([row[:5] for row in rows])
    validation = make_cases([row[:4] for row in rows], [[row[4]] for row in rows], [5] * 30)
    test = make_cases([row[:5] for row in rows], [[row[5]] for row in rows], [6] * 30)
    return Split("leave_one_out", train, validation, both, test, make_sequences(rows), 6, has_times=True)


def test_every_baseline_is_tuned_and_scores(parts: Split) -> None:
    content = np.random.default_rng(1).normal(size=(15, 6)).astype(np.float16)
    lines: list[str] = []
    # a budget of nothing still tries one set of parameters
    found = tuned(parts, content, 15, names=tuple(BASELINES), budget_seconds=0, progress=lines.append)
    assert list(found) == list(BASELINES)
    assert [name for name, method in found.items() if method.sees_clock] == ["recent_popularity"]
    for name, method in found.items():
        assert method.scorer is not None
        assert method.scorer(parts.test).shape == (30, 15)
        assert method.fits >= 1
        assert 0 <= method.validation <= 1
        assert name in lines[0] + lines[-1] or any(line.startswith(f"{name}: ") for line in lines)
        assert set(method.row()) == {
            "sees_clock", "parameters", "validation", "fits", "budget_seconds", "seconds", "cut_short",
        }  # fmt: skip


def test_what_cannot_run_says_why(parts: Split) -> None:
    found = tuned(replace(parts, has_times=False), None, 15, names=QUICK)
    assert found["recent_popularity"].scorer is None
    assert found["recent_popularity"].row() == {
        "not_run": "the data has only an order, no times",
        "sees_clock": True,
    }
    assert found["content"].not_run == "there are no content vectors"
    assert found["item_cf"].scorer is not None
    with pytest.raises(ConfigError, match="baseline 'itemcf' is unknown; there are popularity"):
        tuned(parts, None, 15, names=("itemcf",))


def test_tuning_never_looks_at_test(parts: Split, make_cases: MakeCases) -> None:
    """Other test answers, same parameters and same scores."""
    other = make_cases([[0]], [[1]])
    names = ("item_cf", "ease", "ridge", "popularity")
    first = tuned(parts, None, 15, names=names)
    second = tuned(replace(parts, test=other), None, 15, names=names)
    for name in names:
        assert first[name].parameters == second[name].parameters
        assert first[name].validation == second[name].validation
        scorers = first[name].scorer, second[name].scorer
        assert scorers[0] is not None
        assert scorers[1] is not None
        assert np.array_equal(scorers[0](parts.test), scorers[1](parts.test))


def test_what_the_clock_cut_short_is_said_and_parameters_fit_other_logs(parts: Split) -> None:
    lines: list[str] = []
    found = tuned(parts, None, 15, names=("ridge", "ease"), budget_seconds=1e-9, progress=lines.append)
    assert found["ridge"].row()["cut_short"] is True
    assert found["ridge"].fits == 1
    assert lines[1].endswith("CUT SHORT by the clock")
    whole = tuned(parts, None, 15, names=("ridge",))["ridge"]
    assert whole.row()["cut_short"] is False
    assert whole.scorer is not None
    again, train = whole.fit(parts.train_and_validation), whole.fit(parts.train)
    assert np.array_equal(again(parts.test), whole.scorer(parts.test))
    assert not np.array_equal(train(parts.test), whole.scorer(parts.test))
    not_run = tuned(replace(parts, has_times=False), None, 15, names=("recent_popularity",))
    with pytest.raises(ValueError, match="did not run"):
        not_run["recent_popularity"].fit(parts.train)


def test_validation_decides_by_the_asked_metric(parts: Split) -> None:
    task = Task(parts, 15, criterion="recall_at_1")
    perfect = task.value(lambda cases: np.eye(15)[cases.target_items])
    assert perfect == 1.0
    found = tuned(parts, None, 15, names=("item_cf",), criterion="recall_at_1")["item_cf"]
    assert found.validation == 1.0
