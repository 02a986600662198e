"""Item positions and the arrays of all users' interactions."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learn_features.contracts.history import HistoryRule
from learn_features.data.item_index import ItemIndex
from learn_features.data.sequences import sequences
from learn_features.data.tables import read_dataset

T0 = datetime(2025, 3, 1, 10, 0, tzinfo=UTC)
Folder = Callable[..., Path]


def test_index_encodes_and_knows_what_it_does_not_know() -> None:
    index = ItemIndex(["b", "a", "c"])
    encoded = index.encode(["c", "x", "b", "c"])
    assert encoded.dtype == np.int32
    assert encoded.tolist() == [2, -1, 0, 2]
    assert len(index) == 3
    assert index.encode([]).shape == (0,)
    with pytest.raises(ValueError, match="repeat"):
        ItemIndex(["a", "a"])


def test_sequences_apply_the_rule_and_drop_unknown_items(folder: Folder) -> None:
    log: dict[str, Any] = {
        "user_id": ["u2", "u1", "u1", "u1", "u3", "u1"],
        "item_id": ["i1", "i3", "gone", "i1", "i2", "i2"],
        "event_timestamp": [T0 + timedelta(seconds=s) for s in (5, 9, 1, 2, 3, 4)],
        "event_type": ["buy", "buy", "buy", "buy", "view", "buy"],
    }
    dataset = read_dataset(folder(log=log))
    result = sequences(
        dataset.interactions, ItemIndex(dataset.items["item_id"]), HistoryRule(event_types=("buy",))
    )
    assert result.user_ids == ["u1", "u2"]
    assert result.offsets.tolist() == [0, 3, 4]
    assert result.offsets.dtype == np.int64
    assert result.items.tolist() == [0, 1, 2, 0]
    assert result.items.dtype == np.int32
    assert (result.times_us // 1_000_000 % 60).tolist() == [2, 4, 9, 5]
    kept = result.where(np.array([False, False, False, True]))
    assert kept.user_ids == ["u2"]
    assert kept.offsets.tolist() == [0, 1]
