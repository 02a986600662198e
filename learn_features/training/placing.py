"""Where items stand beside what was learnt of them: found on validation, and made so at the end.

What is in demand is lifted first (`demand.py`), where the log is split by time. New items, as which some are
held out meanwhile, then borrow (`audience.py`), and last they move (`new_items.py`): a move is measured with
what they borrow, among items that are lifted.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.training.audience import find_strength, lend, set_strength
from learn_features.training.demand import Demand, find_demand, lift_items
from learn_features.training.new_items import KNOWN, NewItems, find_move, mark_known, move_new_items
from learn_features.training.ranks import Ranks
from learn_features.training.seen import Seen
from learn_features.training.trained import Trained


@dataclass(frozen=True)
class Placing:
    """What is found: of new items, and of items in demand."""

    new_items: NewItems = field(default_factory=NewItems)
    demand: Demand = field(default_factory=Demand)


def find_placing(
    model: Trained,
    content: Tensor,
    parts: Split,
    what: Seen,
    cases: Cases,
    new: NDArray[np.int64],
    cost: float,
    ranks: Ranks,
) -> Placing:
    """How far demand lifts, judged by cases that do not ask for a `new` item, and where items that nobody has
    taken stand best, found with the new ones, which were left out of what the model has seen (none: not
    asked) at `find_move`'s `cost`. The model is lifted and lends as found. The first rank decides for all."""
    found = Placing()
    if model.towers.config.places_new_items and parts.kind == "global_time":
        is_new = np.zeros(len(content), dtype=bool)
        is_new[new] = True
        best = find_demand(model, content, what.sequences, cases.targeting(~is_new))
        found = replace(found, demand=Demand(*ranks.told([best.lift, best.half_life_days])))
        lift_items(model, content, what.sequences, cases, found.demand)
    if not len(new):
        return found
    strength = find_strength(model, content, what.sequences, parts.train_and_validation, new)
    borrowing = ranks.told([strength])[0]
    set_strength(model, borrowing)
    move = ranks.told([find_move(model, content, cases, what.passed_over, cost)])[0]
    return replace(found, new_items=NewItems(move, borrowing))


def place(
    model: Trained,
    content: Tensor,
    sequences: Sequences,
    cases: Cases,
    found: Placing,
    standing: NDArray[np.float32],
    stays: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Lift what is in demand, and let new items borrow and move, as was `found`.

    `standing` (n, D): residuals of n items that nobody took. Returned is what they are to be for those that
    `stays` (n,) names to stay in place.
    """
    standing = standing.copy()
    lift_items(model, content, sequences, cases, found.demand)
    borrowing, move = found.new_items.borrowing, found.new_items.move
    lend(model, content, sequences, borrowing)
    if borrowing:
        mark_known(model)
        standing[stays & ~standing.any(axis=1)] = KNOWN
    if move:
        standing[stays] -= move_new_items(model, content, cases, move).cpu().numpy()
    return standing
