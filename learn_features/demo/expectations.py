"""How long each step should take on two cores of a shared server; the quickest so far took half of it.

Measured on the default world; how times grow with the data, on three real sets.
"""

from dataclasses import dataclass

_MOST_INTERACTIONS = 110_000
"""Training takes a bounded number of steps: more interactions than this take no longer."""


@dataclass(frozen=True)
class Size:
    """What the times depend on; zero where it is not known yet."""

    items: int
    users: int
    interactions: int
    characters: int = 0
    """Of all item texts, as far as the encoder reads them."""
    quick: bool = False


def expected_seconds(step: str, size: Size) -> float:
    """Expected seconds of a step on two cores."""
    items, users = size.items / 1_000, size.users / 1_000
    interactions = min(size.interactions, _MOST_INTERACTIONS) / 10_000
    repetitions = 0.6 if size.quick else 1.0
    return {
        "data": 1 + 0.7 * interactions,
        "train": 45 + 130 * size.characters / 1e6 + 2 * items + 45 * interactions,
        "serve": 20 + 1.5 * items + users,
        "stream": 34 * repetitions,
        "rollout": 38 + 24 * repetitions + 3 * interactions,
        "rank": 1.0,
        "report": 1.0,
    }[step]
