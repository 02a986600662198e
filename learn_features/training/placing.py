"""New items among known ones: found while some are held out as if they were new, and made so at the end.

They borrow first (`audience.py`), then they move (`new_items.py`): a move is measured with what they borrow.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split
from learn_features.training.audience import find_strength, lend, set_strength
from learn_features.training.new_items import KNOWN, NewItems, find_move, mark_known, move_new_items
from learn_features.training.ranks import Ranks
from learn_features.training.seen import Seen
from learn_features.training.trained import Trained


def find_placing(
    model: Trained,
    content: Tensor,
    parts: Split,
    what: Seen,
    cases: Cases,
    new: NDArray[np.int64],
    ranks: Ranks,
) -> NewItems:
    """Where items that nobody has taken stand best, found with those (`new`) that were left out of what the
    model has seen; it lends as found. The first rank decides for all."""
    strength = find_strength(model, content, what.sequences, parts.train_and_validation, new)
    borrowing = ranks.told([strength])[0]
    set_strength(model, borrowing)
    move = ranks.told([find_move(model, content, cases, what.passed_over)])[0]
    return NewItems(move, borrowing)


def place(
    model: Trained,
    content: Tensor,
    sequences: Sequences,
    cases: Cases,
    found: NewItems,
    standing: NDArray[np.float32],
    stays: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Let new items borrow and move as was `found`.

    `standing` (n, D): residuals of n items that nobody took. Returned is what they are to be for those that
    `stays` (n,) names to stay in place.
    """
    standing = standing.copy()
    lend(model, content, sequences, found.borrowing)
    if found.borrowing:
        mark_known(model)
        standing[stays & ~standing.any(axis=1)] = KNOWN
    if found.move:
        standing[stays] -= move_new_items(model, content, cases, found.move).cpu().numpy()
    return standing
