"""Assignment: hand-worked shares, uniformity, stability, independence of experiments."""

import hashlib

import pytest

from learn_features.contracts.deployment import Experiment
from learn_features.experiments import assignment
from learn_features.experiments.assignment import assign, bucket

USERS = [f"user-{number}" for number in range(40_000)]


def experiment(**shares: float) -> Experiment:
    return Experiment(arms=dict.fromkeys(shares, "popularity"), shares=shares, salt="pepper")


def test_bucket_is_the_documented_hash() -> None:
    digest = hashlib.blake2b(b"pepper\x1fcolour\x1fuser-1", digest_size=8).hexdigest()
    assert bucket("pepper", "colour", "user-1") == pytest.approx(int(digest, 16) / 2**64, abs=1e-15)


@pytest.mark.parametrize(
    ("position", "arm"),
    [(0.0, "a"), (0.0999, "a"), (0.1, "b"), (0.2999, "b"), (0.3001, None), (0.9999, None)],
)
def test_arms_take_their_shares_in_order_of_name(
    monkeypatch: pytest.MonkeyPatch, position: float, arm: str | None
) -> None:
    monkeypatch.setattr(assignment, "bucket", lambda *_: position)
    assert assign(experiment(b=0.2, a=0.1), "colour", "anybody") == arm


def test_shares_that_sum_to_one_in_tenths_leave_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ten = {f"arm{number}": 0.1 for number in range(10)}
    monkeypatch.setattr(assignment, "bucket", lambda *_: 1 - 2**-53)
    assert assign(experiment(**ten), "colour", "anybody") == "arm9"


def test_shares_are_met_within_four_standard_errors() -> None:
    two = experiment(treatment=0.25, control=0.5)
    counts = dict.fromkeys(("treatment", "control", None), 0)
    for user in USERS:
        counts[assign(two, "colour", user)] += 1
    for arm, share in (("treatment", 0.25), ("control", 0.5), (None, 0.25)):
        error = (share * (1 - share) / len(USERS)) ** 0.5
        assert counts[arm] / len(USERS) == pytest.approx(share, abs=4 * error)


def test_another_experiment_or_salt_shuffles_independently() -> None:
    halves = experiment(a=0.5, b=0.5)
    resalted = halves.model_copy(update={"salt": "salt"})
    first = [assign(halves, "colour", user) for user in USERS]
    for other in (
        [assign(halves, "size", user) for user in USERS],
        [assign(resalted, "colour", user) for user in USERS],
    ):
        same = sum(x == y for x, y in zip(first, other, strict=True)) / len(USERS)
        assert same == pytest.approx(0.5, abs=4 * 0.5 / len(USERS) ** 0.5)


def test_pinned_assignments_never_change() -> None:
    """Users keep their arm over releases; these were computed once."""
    halves = experiment(a=0.5, b=0.5)
    assert [assign(halves, "colour", user) for user in ("u1", "u2", "ü3", "user 4")] == ["b", "b", "a", "b"]


def test_stopped_experiment_assigns_nobody() -> None:
    stopped = experiment(a=1.0).model_copy(update={"running": False})
    assert assign(stopped, "colour", "u1") is None
