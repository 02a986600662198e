"""Small synthetic data: items of a cluster follow each other. As a program: one training that kills itself.

`python -m tests.training.world FOLDER WHERE` trains with a checkpoint after every step and, with WHERE
`step N` or `save N`, dies of SIGKILL at the N-th step, or in the N-th checkpoint between its two files.
"""

import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Kind, Split
from learn_features.towers.config import TowerConfig
from learn_features.training import checkpoint
from learn_features.training.fit import Fitted, fit
from learn_features.training.recipe import Recipe
from learn_features.training.warm_start import Parent

ITEMS, CLUSTERS, USERS, LENGTH, C = 120, 6, 150, 8, 16

TOWERS = TowerConfig(
    content_dimension=C, dimension=16, width=16, heads=2, feedforward=32, item_hidden=16, max_length=10
)
RECIPE = Recipe(
    epochs=3,
    final="continue",
    final_epochs=1,
    pairs_per_step=150,
    users_per_step=30,
    patience=8,
    ema=0.5,
    min_epoch_steps=1,
)


def make_split(learnable: bool, seed: int = 0, *, together: int = 1) -> Split:
    """Each user stays in the cluster (item % CLUSTERS) that follows the first item's; noise: nowhere.

    `together`: so many interactions of a user have one time.
    """
    rng = np.random.default_rng(seed)
    items = rng.integers(0, ITEMS, size=(USERS, LENGTH))
    if learnable:
        items = items // CLUSTERS * CLUSTERS + (np.arange(USERS) % CLUSTERS)[:, None]
    return split_of(items, together)


def split_of(items: np.ndarray, together: int = 1) -> Split:
    """Leave-one-out of sequences (users, length)."""
    return Split(
        kind="leave_one_out",
        train=_sequences(items[:, :-2], together),
        validation=_cases(items[:, :-1]),
        train_and_validation=_sequences(items[:, :-1], together),
        test=_cases(items),
        everything=_sequences(items, together),
        data_cutoff_us=items.shape[1] - 1,
    )


def _sequences(items: np.ndarray, together: int = 1) -> Sequences:
    users, length = items.shape
    return Sequences(
        user_ids=[str(u) for u in range(users)],
        offsets=np.arange(0, users * length + 1, length),
        items=items.ravel().astype(np.int32),
        times_us=np.tile(np.arange(length) // together, users),
    )


def _cases(items: np.ndarray) -> Cases:
    history = _sequences(items[:, :-1])
    users = len(items)
    return Cases(
        history.user_ids, history.offsets, history.items, history.times_us, np.arange(users + 1),
        items[:, -1].astype(np.int32), np.full(users, items.shape[1] - 1),
    )  # fmt: skip


def content_of(seed: int = 0) -> np.ndarray:
    """Content names the cluster weakly, among noise."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLUSTERS, C))
    return (centres[np.arange(ITEMS) % CLUSTERS] + rng.normal(size=(ITEMS, C))).astype(np.float16)


def parent_of(fitted: Fitted) -> Parent:
    """For a warm start; trained on what was long before all there is here."""
    then = datetime.fromtimestamp(0, UTC)
    return Parent(fitted.towers, "s0", fitted.residuals, "leave_one_out", then)


RESUMED = RECIPE.model_copy(update={"ema": 0.9, "final_epochs": 2})
WITH_RESIDUALS = TOWERS.model_copy(update={"residuals": True, "similar_items": 100})


def checkpointed(
    folder: Path,
    recipe: Recipe = RESUMED,
    seconds: float = 0.0,
    *,
    together: int = 1,
    kind: Kind = "leave_one_out",
    **more,
) -> Fitted:
    """`fit` with a checkpoint after every step in `folder`."""
    checkpoints = checkpoint.Checkpoints(folder, {"recipe": recipe.model_dump(mode="json")}, seconds)
    return fit(
        replace(make_split(True, together=together), kind=kind), content_of(), WITH_RESIDUALS, recipe,
        seed=0,
        checkpoints=checkpoints, **more,
    )  # fmt: skip


def _main(folder: Path, where: str, number: int) -> None:
    left = number

    def count_down() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying(file: Path, text: str, write=checkpoint.write_text) -> None:
        count_down()
        write(file, text)

    if where == "save":
        checkpoint.write_text = dying
    checkpointed(folder, progress=lambda done, total: count_down() if where == "step" else None)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
