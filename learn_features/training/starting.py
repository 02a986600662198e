"""The model before its first step."""

import copy
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learn_features.data.splits import Split
from learn_features.towers.config import TowerConfig
from learn_features.towers.model import Towers
from learn_features.training import seeds
from learn_features.training.content_table import ContentTable
from learn_features.training.item_to_item import ItemToItem
from learn_features.training.new_items import take_back_move
from learn_features.training.recipe import Recipe
from learn_features.training.trained import Trained
from learn_features.training.warm_start import Parent

STATISTICS_ITEMS = 100_000
"""Content vectors are centred and scaled by those of at most as many items."""


def start(
    parts: Split,
    table: ContentTable,
    config: TowerConfig,
    recipe: Recipe,
    *,
    seed: int,
    parent: Parent | None,
    item_ids: Sequence[str],
    taken: NDArray[np.int64],
    item_to_item: ItemToItem | None,
) -> Trained:
    """Fresh weights, or those of the `parent`; where content stands and how old entries count as in the data.

    `taken` (n,): items, rising, that may have a residual. `item_ids`: by which a parent keeps its own.
    """
    if parent is not None:
        towers = copy.deepcopy(parent.towers)
        take_back_move(towers)
    else:
        seeds.seed_torch(seed, 0, "weights")
        towers = Towers(config)
        if item_to_item is not None:
            towers.user.start_recency(item_to_item.cf.age)
    if towers.user.example_age is not None:
        ends_us = parts.train.ends_us(own=not parts.has_times)
        towers.user.example_age.fit((np.repeat(ends_us, parts.train.lengths) - parts.train.times_us) / 1e6)
    dropout, shrink = recipe.residual_dropout, recipe.residual_shrink
    model = Trained(towers, taken, len(table), row_dropout=dropout, shrink=shrink)
    model.to(table.device)
    if parent is None:
        trained = parts.train.taken
        if len(trained) > STATISTICS_ITEMS:
            draw = seeds.generator(seed, 0, "weights")
            trained = np.sort(draw.choice(trained, STATISTICS_ITEMS, replace=False))
        catalogue = table[table.to_device(trained)]
        towers.fit_input(catalogue)
        if recipe.start == "content":
            towers.start_from_content(catalogue)
    else:
        model.set_residuals(parent.residuals_of([item_ids[row] for row in taken]))
    return model
