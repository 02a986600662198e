"""What order and distance mean in a log: read off item-CF, which is tuned in seconds."""

import math

from learn_features.data.splits import Split
from learn_features.evaluation.baselines.baseline import Task
from learn_features.evaluation.baselines.item_cf import ItemCF, ItemCFParameters

CASES = 1_500
"""Validation cases that decide."""


def log_order(parts: Split, n_items: int) -> ItemCFParameters:
    """Item-CF's parameters with the best validation NDCG@10 on `parts`: how much backward pairs, distance
    and age count. By a fixed list of tries, not by a clock: the same data give the same answer."""
    task = Task(parts, n_items, cases=CASES)
    return ItemCF().tune(task, budget_seconds=math.inf).best
