"""Parts of a set of cases that a mean hides: new and rare items, quiet and busy users.

Item slices sort targets by their interactions in the part that methods were fitted on:

cold_items            none there
item_decile_1 … 10    seen ones, least popular first; each decile holds a tenth of the interactions
long_tail_items       deciles 1 to 5: the least popular items that share half of the interactions
popular_items         deciles 6 to 10

User slices sort cases by the length of their history, which is the user's activity until the cut:

user_decile_1 … 10    each a tenth of the asked users, quietest first; equal activity, equal decile
history_1, history_2_4 …   by fixed bounds
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.evaluated import Evaluated

DECILES = 10
HISTORY_BOUNDS = (1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class Slice:
    """`targets`, bool (targets,), tells which of the cases' targets belong to it."""

    name: str
    targets: np.ndarray


def slices(cases: Cases, fitted_on: Sequences, n_items: int) -> list[Slice]:
    """Every slice that has a target in `cases`."""
    counts = np.bincount(fitted_on.items, minlength=n_items)
    item_decile = popularity_deciles(counts)[cases.target_items]
    target_counts = np.diff(cases.target_offsets)
    activity = np.diff(cases.history_offsets)
    user_decile = np.repeat(activity_deciles(activity), target_counts)
    length = np.repeat(activity, target_counts)
    named = {
        "cold_items": item_decile == 0,
        "long_tail_items": (item_decile >= 1) & (item_decile <= DECILES // 2),
        "popular_items": item_decile > DECILES // 2,
    }
    named |= {f"item_decile_{d}": item_decile == d for d in range(1, DECILES + 1)}
    named |= {f"user_decile_{d}": user_decile == d for d in range(1, DECILES + 1)}
    for low, beyond in zip(HISTORY_BOUNDS, (*HISTORY_BOUNDS[1:], None), strict=True):
        inside = (length >= low) & (length < beyond if beyond is not None else True)
        named[_history_name(low, beyond)] = inside
    return [Slice(name, targets) for name, targets in named.items() if targets.any()]


def popularity_deciles(counts: np.ndarray) -> np.ndarray:
    """int8 (items,): 0 without interactions, else 1 (least popular) to 10, each a tenth of all interactions.

    An item belongs to where the middle of its own interactions lies.
    """
    order = np.argsort(counts, kind="stable")
    middle = np.cumsum(counts[order]) - counts[order] / 2
    deciles = np.zeros(len(counts), dtype=np.int8)
    deciles[order] = np.minimum(middle / max(1, counts.sum()) * DECILES, DECILES - 1).astype(np.int8) + 1
    return np.where(counts > 0, deciles, np.int8(0))


def activity_deciles(activity: np.ndarray) -> np.ndarray:
    """int8 (n,): 1 (quietest) to 10; users of equal activity share the lowest decile any of them has."""
    below = np.searchsorted(np.sort(activity), activity, side="left")
    return (below * DECILES // max(1, len(activity)) + 1).astype(np.int8)


def by_slice(methods: Mapping[str, Evaluated], parts: list[Slice]) -> dict[str, dict[str, object]]:
    """`{slice: {"cases": …, "targets": …, "methods": {method: metrics}}}`, metrics over its targets only."""
    result: dict[str, dict[str, object]] = {}
    for part in parts:
        inside = {name: evaluated.where(part.targets) for name, evaluated in methods.items()}
        result[part.name] = {
            "cases": max((len(evaluated) for evaluated in inside.values()), default=0),
            "targets": int(part.targets.sum()),
            "methods": {name: evaluated.means() for name, evaluated in inside.items()},
        }
    return result


def _history_name(low: int, beyond: int | None) -> str:
    if beyond is None:
        return f"history_{low}_up"
    return f"history_{low}" if beyond == low + 1 else f"history_{low}_{beyond - 1}"
