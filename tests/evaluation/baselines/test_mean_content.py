"""Mean-pooled content vectors."""

from collections.abc import Callable

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.mean_content import (
    MeanContent,
    MeanContentParameters,
    mean_content,
)

MakeCases = Callable[..., Cases]
MakeSequences = Callable[..., Sequences]
MakeTask = Callable[..., Task]


def test_content_is_the_cosine_to_the_mean_of_the_newest(make_cases: MakeCases) -> None:
    vectors = np.array([[2, 0], [0, 1], [3, 3], [0, 0]], dtype=np.float16)
    scores = mean_content(vectors, MeanContentParameters(newest=2, age=0))(
        make_cases([[1, 0, 1], [0]], [[2], [2]])
    )
    half = 0.5**0.5
    assert scores[0].tolist() == pytest.approx([half, half, 1.0, 0.0], abs=1e-3)
    assert scores[1].tolist() == pytest.approx([1.0, 0.0, half, 0.0], abs=1e-3)
    whole = mean_content(vectors, MeanContentParameters(newest=None, age=0))(
        make_cases([[1, 0, 1], [0]], [[2], [2]])
    )
    assert whole[0, 1] > whole[0, 0] > 0


def test_tuning_content_finds_that_only_the_newest_matters(
    make_cases: MakeCases, make_sequences: MakeSequences, make_task: MakeTask
) -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(40, 8))
    vectors[20:] = vectors[:20] + 0.05 * rng.normal(size=(20, 8))  # item 20 + n is like item n
    histories = [[*rng.integers(20, size=6).tolist(), n] for n in range(20)]
    cases = make_cases(histories, [[20 + n] for n in range(20)])
    search = MeanContent().tune(make_task(make_sequences(histories), cases, 40, content=vectors), 60)
    assert search.best.newest == 1
    assert search.value > 0.99
    assert search.tried[MeanContentParameters(newest=None)] < 0.9
