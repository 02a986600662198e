"""The deployment document refuses states in which a reader would find nothing, or the wrong thing."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from learn_features.contracts.deployment import (
    DeploymentDocument,
    Experiment,
    RankerVersion,
    Slot,
    Space,
    SpaceState,
)
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _space(state: SpaceState) -> Space:
    encoder = EncoderSpec(model="m", revision="r", template="{title}", dimension=4)
    return Space(
        state=state, bundle="b", encoder=encoder, history=HistoryRule(), dimension=2, data_cutoff=NOW
    )


def _document(**changes: Any) -> DeploymentDocument:
    parts: dict[str, Any] = {
        "version": 3,
        "created_at": NOW,
        "spaces": {"s1": _space(SpaceState.READY), "s2": _space(SpaceState.FILLING)},
        "rankers": {
            "dot-product__s1": RankerVersion(kind="dot-product", space_id="s1"),
            "dot-product__s2": RankerVersion(kind="dot-product", space_id="s2"),
            "popularity": RankerVersion(kind="popularity"),
        },
        "slots": {"ranking": Slot(ranker="dot-product__s1")},
    }
    return DeploymentDocument(**{**parts, **changes})


def test_round_trip_and_digest() -> None:
    document = _document()
    raw = document.to_json()
    assert DeploymentDocument.from_json(raw) == document
    altered = json.loads(raw)
    altered["slots"]["ranking"]["ranker"] = "popularity"
    with pytest.raises(ValueError, match="sha256"):
        DeploymentDocument.from_json(json.dumps(altered).encode())


def test_every_space_not_retired_is_embedded_into_and_only_reachable_ones_are_live() -> None:
    document = _document()
    assert set(document.embedded_spaces) == {"s1", "s2"}
    assert document.live_spaces == {"s1"}
    arms = Experiment(arms={"a": "dot-product__s2"}, shares={"a": 0.5}, salt="x")
    assert _document(experiments={"e": arms}).live_spaces == {"s1", "s2"}
    stopped = arms.model_copy(update={"running": False})
    assert _document(experiments={"e": stopped}).live_spaces == {"s1"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slots": {"ranking": Slot(ranker="nobody")}}, "unknown ranker"),
        ({"slots": {"ranking": Slot(ranker="dot-product__s2")}}, "not ready"),
        ({"rankers": {"x": RankerVersion(kind="popularity")}, "slots": {}}, "must be called"),
        ({"spaces": {}, "slots": {}}, "unknown space"),
        ({"spaces": {"s1": _space(SpaceState.RETIRED), "s2": _space(SpaceState.READY)}}, "retired"),
    ],
)
def test_impossible_states_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _document(**changes)


def test_shares_must_fit() -> None:
    with pytest.raises(ValueError, match="sum"):
        Experiment(arms={"a": "r", "b": "r"}, shares={"a": 0.7, "b": 0.7}, salt="x")
    with pytest.raises(ValueError, match="agree"):
        Experiment(arms={"a": "r"}, shares={"b": 0.7}, salt="x")


@pytest.mark.parametrize("share", [float("nan"), float("inf"), 0.0, -0.1])
def test_a_share_is_a_positive_part_of_all(share: float) -> None:
    with pytest.raises(ValueError, match="positive and sum"):
        Experiment(arms={"a": "r"}, shares={"a": share}, salt="s")
