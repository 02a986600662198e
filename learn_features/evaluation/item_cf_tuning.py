"""Choosing item-CF's parameters on the validation part: plain ones are far weaker than tuned ones."""

from dataclasses import replace
from typing import Any

from learn_features.data.splits import Split
from learn_features.evaluation.harness import evaluate
from learn_features.evaluation.item_cf import ItemCFParameters, PairCounts

STARTS = (
    ItemCFParameters(),
    ItemCFParameters(window=50, distance=0.5, backward=0.0, source=0.75, age=1.0),
)
"""Best on a set where order hardly matters, and on one where it does."""

GRID: dict[str, tuple[Any, ...]] = {
    "age": (0.25, 0.5, 1.0, 1.5),
    "source": (0.2, 0.4, 0.75),
    "backward": (0.0, 0.4, 0.8, 1.0),
    "distance": (0.0, 0.25, 0.5, 1.0),
    "target": (0.0, 0.2, 0.4),
    "window": (10, 50),
    "shrink": (2.0, 10.0, 40.0),
}
"""One knob after the other, in this order, each kept at its best."""

MAX_WINDOW = 50
CASES = 1_500
CRITERION = "ndcg_at_10"


def tune(split: Split, n_items: int) -> ItemCFParameters:
    """The parameters with the best NDCG@10 on (at most 1,500) validation cases, fitted on `train`."""
    counts = PairCounts(split.train, n_items, MAX_WINDOW)
    cases = split.validation.sample(CASES)
    tried: dict[ItemCFParameters, float] = {}

    def value(parameters: ItemCFParameters) -> float:
        if parameters not in tried:
            tried[parameters] = evaluate({"": counts.scorer(parameters)}, cases)[""].means()[CRITERION]
        return tried[parameters]

    best = max(STARTS, key=value)
    for knob, values in GRID.items():
        best = max([best, *(replace(best, **{knob: v}) for v in values)], key=value)
    return best
