"""What tuned item-to-item models find in a log, before the towers are trained."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from learn_features.data.splits import Split
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.ease import Ease, EaseParameters
from learn_features.evaluation.baselines.item_cf import ItemCF, ItemCFParameters
from learn_features.training.ranks import Ranks

CASES = 1_500
"""Validation cases that decide."""
EASE_ITEMS = 6_000
"""Above so many seen items EASE is not asked: it inverts a matrix of their square, in each fold again."""


@dataclass(frozen=True)
class ItemToItem:
    """Item-CF says how much order, distance and age count; whichever ranks better is the teacher.

    cf    item-CF's parameters with the best validation NDCG@10
    ease  EASE's, where that is better than item-CF's; else None
    """

    cf: ItemCFParameters
    ease: EaseParameters | None = None

    @property
    def best(self) -> ItemCFParameters | EaseParameters:
        return self.ease or self.cf

    def as_numbers(self) -> list[float]:
        """For other ranks and checkpoints; a penalty of 0 stands for no EASE."""
        return [*map(float, astuple(self.cf)), *astuple(self.ease or EaseParameters(penalty=0.0, age=0.0))]

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "ItemToItem":
        """From `as_numbers`."""
        window, *others, penalty, age = numbers
        ease = EaseParameters(penalty, age) if penalty else None
        return cls(ItemCFParameters(int(window), *others), ease)


def tuned_item_to_item(parts: Split, n_items: int, ranks: Ranks, *, teaches: bool = True) -> ItemToItem:
    """The models tuned on `parts`, EASE only where one `teaches`.

    By fixed lists of tries, not by a clock: the same data give the same answer on the same machine. The first
    rank decides for all, as another machine may round otherwise, and they would draw other batches.
    """
    found = _tuned(parts, n_items, teaches) if ranks.leads else ItemToItem(ItemCFParameters())
    return ItemToItem.of(ranks.told(found.as_numbers()))


def _tuned(parts: Split, n_items: int, teaches: bool) -> ItemToItem:
    task = Task(parts, n_items, cases=CASES)
    cf = ItemCF().tune(task, budget_seconds=math.inf)
    if not teaches or len(parts.train_and_validation.taken) > EASE_ITEMS:
        return ItemToItem(cf.best)
    ease = Ease().tune(task, budget_seconds=math.inf)
    return ItemToItem(cf.best, ease.best if ease.value > cf.value else None)
