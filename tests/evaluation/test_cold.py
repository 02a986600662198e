"""Held-out items leave what is fitted on and stay in what is asked."""

from collections.abc import Callable

import numpy as np
import pytest

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.errors import DataError
from learn_features.evaluation.cold import held_out_items, without
from learn_features.evaluation.harness import evaluate


@pytest.fixture
def parts(make_cases: Callable[..., Cases], make_sequences: Callable[..., Sequences]) -> Split:
    return Split(
        "leave_one_out",
        train=make_sequences([[0, 1], [1], [2, 3]]),
        validation=make_cases([[0, 1], [2, 3]], [[2], [1]]),
        train_and_validation=make_sequences([[0, 1, 2], [1], [2, 3, 1]]),
        test=make_cases([[0, 1, 2], [1], [2, 3, 1]], [[3], [1, 0], [0]]),
        everything=make_sequences([[0, 1, 2, 3], [1, 1, 0], [2, 3, 1, 0]]),
        data_cutoff_us=9,
    )


def test_what_is_fitted_on_lacks_them_and_cases_keep_them(parts: Split) -> None:
    held_out = np.array([False, True, False, False])
    cold = without(parts, held_out)
    assert cold.train.items.tolist() == [0, 2, 3]
    assert cold.train.user_ids == ["u0", "u2"]  # nothing is left of the second
    assert cold.train_and_validation.items.tolist() == [0, 2, 2, 3]
    assert cold.validation.user_ids == ["u0"]  # the second case asks for one
    assert (cold.validation.history(0).tolist(), cold.validation.targets(0).tolist()) == ([0], [2])
    assert cold.test is parts.test
    assert cold.test.history(2).tolist() == [2, 3, 1]
    assert cold.everything is parts.everything

    asked = cold.test.targeting(held_out)
    assert asked.user_ids == ["u1"]
    assert asked.targets(0).tolist() == [1]
    scores = np.array([[9, 5, 7, 6]], dtype=np.float32)
    methods = {"m": lambda cases: scores}
    assert evaluate(methods, asked, mask_history=False)["m"].ranks.tolist() == [4]
    assert evaluate(methods, asked, mask_history=False, candidates=held_out)["m"].ranks.tolist() == [1]


def test_the_seed_draws_a_share_of_what_was_taken(parts: Split) -> None:
    drawn = held_out_items(parts, 400, share=0.5, seed=3)
    assert drawn.shape == (400,)
    assert drawn.sum() == 2
    assert not drawn[4:].any()  # nobody took these
    assert (drawn == held_out_items(parts, 400, share=0.5, seed=3)).all()
    several = {tuple(np.flatnonzero(held_out_items(parts, 4, share=0.5, seed=s))) for s in range(20)}
    assert len(several) > 2


def test_a_draw_that_nobody_asks_for_is_refused(
    parts: Split, make_sequences: Callable[..., Sequences]
) -> None:
    untested = Split(**{**vars(parts), "everything": make_sequences([[5], [6]])})
    with pytest.raises(DataError, match="none of the 4 test targets is among the 1 of 2 items held out"):
        held_out_items(untested, 7)
