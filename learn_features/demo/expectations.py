"""How long each step should take on two cores, from sizes; measured on the default world and shared sets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """What the times depend on; zero where it is not known yet."""

    items: int
    users: int
    interactions: int
    quick: bool = False


def expected_seconds(step: str, size: Size) -> float:
    """Expected seconds of a step on two cores."""
    items, users, interactions = size.items / 1_000, size.users / 1_000, size.interactions / 10_000
    half = 0.6 if size.quick else 1.0
    return {
        "data": 2 + 0.5 * interactions,
        "train": 25 + 12 * items + 8 * interactions,
        "serve": 15 + 1 * items + 2 * users,
        "stream": 45 * half,
        "rollout": 35 * half + 3 * interactions,
        "rank": 5.0,
        "report": 4.0,
    }[step]
