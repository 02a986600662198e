"""Cold items: how well is ranked what no method was fitted on?

A seeded share of the items is held out: their interactions leave what methods are fitted on and validated
by. Test users keep them in their histories and are still asked for them. `cases.targeting(held_out)` are the
cases that ask for one; they are ranked in the whole catalogue, and among held-out items only
(`evaluate(candidates=held_out)`).
"""

from dataclasses import replace

import numpy as np

from learn_features.data.splits import Split
from learn_features.errors import DataError

SHARE = 0.1


def held_out_items(split: Split, n_items: int, *, share: float = SHARE, seed: int = 0) -> np.ndarray:
    """bool (items,): `share` of the items that anybody took, drawn by `seed`.

    Raises `DataError` where no test case asks for one of them.
    """
    taken = split.everything.taken
    count = max(1, round(share * len(taken)))
    drawn = np.random.default_rng(seed).choice(taken, size=count, replace=False)
    held_out = np.zeros(n_items, dtype=bool)
    held_out[drawn] = True
    if not held_out[split.test.target_items].any():
        raise DataError(
            f"cold items: none of the {len(split.test.target_items)} test targets is among the {count} of "
            f"{len(taken)} items held out; hold out more, or use more data"
        )
    return held_out


def without(split: Split, held_out: np.ndarray) -> Split:
    """`split` with nothing of the `held_out` items (bool (items,)) in what methods are fitted on.

    Validation lacks them too, as cases and in histories. Test stays as it is, and `everything`: what the
    clock shows at a request includes new items.
    """
    train, both = split.train, split.train_and_validation
    return replace(
        split,
        train=train.where(~held_out[train.items]),
        validation=split.validation.without(held_out),
        train_and_validation=both.where(~held_out[both.items]),
    )
