"""Rankers on hand-worked features."""

from dataclasses import replace

import numpy as np
import pytest

from learn_features.errors import ConfigError
from learn_features.features.reader import RankingFeatures
from learn_features.ranking.rankers import rank

FEATURES = RankingFeatures(
    ranker="dot-product__s0123456789ab",
    space_id="s0123456789ab",
    user_vector=np.array([0.6, 0.8], np.float32),
    # dot products: 0.6, 0.8, missing, 0.96, 0.8
    item_vectors=np.array([[1, 0], [0, 1], [0, 0], [0.8, 0.6], [0, 1]], np.float32),
    found=np.array([True, True, False, True, True]),
    values={"popularity": np.array([3.0, np.nan, 9.0, 3.0, 5.0])},
    as_of=1,
    item_as_of=np.array([1, 1, 0, 1, 1]),
)


def test_dot_product_leaves_out_items_without_a_vector_and_keeps_ties_in_order() -> None:
    ranked = rank(FEATURES, 10)
    assert ranked.positions.tolist() == [3, 1, 4, 0]
    assert ranked.scores.tolist() == pytest.approx([0.96, 0.8, 0.8, 0.6])
    assert ranked.personal
    assert rank(FEATURES, 2).positions.tolist() == [3, 1]


def test_a_user_without_a_vector_keeps_the_candidates_order_and_says_so() -> None:
    ranked = rank(replace(FEATURES, user_vector=None), 3)
    assert ranked.positions.tolist() == [0, 1, 3]
    assert not ranked.personal


def test_popularity_counts_an_unknown_item_as_zero() -> None:
    popularity = replace(FEATURES, ranker="popularity", space_id=None, user_vector=None)
    ranked = rank(popularity, 10)
    assert ranked.positions.tolist() == [2, 4, 0, 3, 1]
    assert ranked.scores.tolist() == [9, 5, 3, 3, 0]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="kind deep is not one of"):
        rank(replace(FEATURES, ranker="deep__s0123456789ab"), 1)
