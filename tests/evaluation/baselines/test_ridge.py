"""Ridge from the past to the next item, against rows written out and solved with NumPy."""

from collections.abc import Callable

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines import ridge
from learn_features.evaluation.baselines.ridge import PREFIX, Moments

MakeCases = Callable[..., Cases]
MakeSequences = Callable[..., Sequences]


@pytest.mark.parametrize(("decay", "at_once"), [(1.0, 200_000), (0.7, 200_000), (0.2, 200_000), (0.7, 20)])
def test_scores_are_those_of_the_regression(
    decay: float,
    at_once: int,
    make_cases: MakeCases,
    make_sequences: MakeSequences,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ridge, "AT_ONCE", at_once)
    rng = np.random.default_rng(1)
    rows = [rng.integers(9, size=rng.integers(1, 7)).tolist() for _ in range(25)]
    inputs, outputs = [], []
    for row in rows:
        for at in range(1, len(row)):
            past = np.zeros(10)
            for distance in range(1, at + 1):
                past[row[at - distance]] += decay ** (distance - 1)
            inputs.append(past)
            outputs.append(np.eye(10)[row[at]])
    penalised = np.vstack([*inputs, 3.0**0.5 * np.eye(10)])
    targets = np.vstack([*outputs, np.zeros((10, 10))])
    coefficients = np.linalg.lstsq(penalised, targets, rcond=None)[0]

    cases = make_cases([[0, 4, 0], [9], [3]], [[1], [2], [5]])  # nobody took 9
    scores = Moments(make_sequences(rows), 10, decay).scorer(3.0)(cases)
    first = (1 + decay**2) * coefficients[0] + decay * coefficients[4]
    assert scores[0] == pytest.approx(first, abs=1e-5)
    assert scores[1].tolist() == [0] * 10
    assert scores[2] == pytest.approx(coefficients[3], abs=1e-5)


def test_the_past_is_cut_at_its_longest(make_cases: MakeCases, make_sequences: MakeSequences) -> None:
    log = make_sequences([[0, *[1] * PREFIX, 2]])
    moments = Moments(log, 3, 1.0)
    # at the last row, 0 lies PREFIX + 1 back and no longer counts; it has a share in the PREFIX rows before
    assert moments.gram[0, 0] == PREFIX
    assert moments.cross.toarray()[0].tolist() == [0, PREFIX, 0]
    scores = moments.scorer(1.0)(make_cases([[0, *[1] * PREFIX], [1] * PREFIX], [[2], [2]]))
    assert scores[0].tolist() == scores[1].tolist()


def test_a_log_of_single_interactions_teaches_nothing(
    make_cases: MakeCases, make_sequences: MakeSequences
) -> None:
    scores = Moments(make_sequences([[0], [1]]), 3, 1.0).scorer(1.0)(make_cases([[0]], [[1]]))
    assert scores.tolist() == [[0, 0, 0]]
