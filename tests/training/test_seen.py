"""Of whom nothing can be learnt."""

import logging
from dataclasses import replace

import pytest

from learn_features.errors import DataError
from learn_features.training.seen import check_next_items, without_next_item
from tests.training.world import make_split


def test_users_of_one_moment_are_skipped_unless_moments_are_learnt_from(make_sequences, caplog):
    sequences = make_sequences([[1, 2], [3, 4], [5]], [[0, 1], [7, 7], [0]])
    with caplog.at_level(logging.INFO, logger="learn_features.training"):
        assert without_next_item(sequences, within_moments=False) == 2
        assert without_next_item(sequences, within_moments=True) == 1
    first, second = caplog.messages
    assert first.startswith("2 of 3 users have no two interactions at different times,")
    assert second.startswith("1 of 3 users have no two interactions,")


def test_a_log_of_one_moment_a_user_is_refused(make_sequences):
    parts = make_split(True)
    learnt = make_sequences([[1, 2], [3, 4]], [[0, 1], [7, 7]])
    check_next_items(replace(parts, train=learnt), "log.csv")
    nothing = replace(parts, train=make_sequences([[1, 2], [3]], [[0, 0], [7]]))
    with pytest.raises(DataError, match=r"^log\.csv: none of 2 users has two .* leave_one_out needs users"):
        check_next_items(nothing, "log.csv")
    with pytest.raises(DataError, match=r"\(global_time\).* give a longer log, or users"):
        check_next_items(replace(nothing, kind="global_time"), "log.csv")
