"""Train towers: the one entry for command line and DAG."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.content.embed import load_content
from learn_features.content.spec import encoder_spec
from learn_features.contracts import columns as c
from learn_features.contracts import times
from learn_features.data.item_index import ItemIndex
from learn_features.data.sequences import Sequences
from learn_features.data.splits import Split, split
from learn_features.data.tables import read_dataset
from learn_features.errors import DataError
from learn_features.towers.config import TowerConfig, tower_preset
from learn_features.towers.model import Towers
from learn_features.towers.weights import save_towers
from learn_features.training import run as run_folder_files
from learn_features.training.loop import Epoch, Fit, Progress
from learn_features.training.objectives import objective
from learn_features.training.recipe import Recipe, recipe_preset
from learn_features.training.validation import validation
from learn_features.training.warm_start import Parent, open_parent

log = logging.getLogger(__name__)

OnEpoch = Callable[[Epoch], None]


@dataclass(frozen=True)
class TrainReport:
    """What came out; the rest stands in `run.json`."""

    run_folder: str
    epochs: int
    best_epoch: int
    loss: float
    validation: dict[str, float]
    users: int
    users_skipped: int
    parent: str | None
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """Trained towers and the epochs that led to them."""

    towers: Towers
    epochs: list[Epoch]
    best: Epoch


def train(
    config: Config,
    data_folder: str | Path,
    run_folder: str | Path,
    *,
    parent: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainReport:
    """Train by `config.training.preset` on the data set in `data_folder`, into `run_folder`.

    The best epoch on validation is kept; then the towers train on for the recipe's `final_epochs` with
    the validation interactions in. `parent` (bundle or run) is where the weights start, at the lower of
    the recipe's rates; `epochs` (also the most `final_epochs`) and `seed` override the settings. On a
    GPU if there is one. Content vectors that are missing are embedded first.

    Raises `DataError` (nothing to learn from, content not finite), `ConfigError` (unknown preset,
    diverging loss), `SpaceMismatch` or `BundleError` (parent).
    """
    started = time.perf_counter()
    seed = config.training.seed if seed is None else seed
    recipe = _recipe(config, epochs)
    dataset = read_dataset(data_folder, config.data)
    parts = split(dataset, ItemIndex(dataset.items[c.ITEM_ID]), config.history)
    skipped = _check_sequences(parts.train)
    spec = encoder_spec(config.encoder)
    towers_config = tower_preset(
        config.training.preset, content_dimension=spec.dimension, max_length=config.history.max_length
    )
    warm = open_parent(parent, spec, config.history, towers_config) if parent else None
    content = load_content(config, dataset.items)
    check_content(content, dataset.items[c.ITEM_ID].to_list())

    folder = Path(run_folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / run_folder_files.RUN_FILE).unlink(missing_ok=True)
    fitted = fit(
        parts, content, towers_config, recipe, seed=seed, parent=warm, progress=progress, on_epoch=on_epoch
    )
    save_towers(fitted.towers, folder / run_folder_files.WEIGHTS_FILE)
    run_folder_files.write_metrics(folder, [asdict(epoch) for epoch in fitted.epochs])
    run = run_folder_files.TrainingRun(
        encoder=spec,
        history=config.history,
        towers=towers_config,
        preset=config.training.preset,
        recipe=recipe,
        seed=seed,
        split=parts.kind,
        data_cutoff=times.from_us(parts.data_cutoff_us),
        parent=warm.space_id if warm else None,
        users=len(parts.train) - skipped,
        users_skipped=skipped,
        items=len(dataset.items),
        interactions=len(parts.train_and_validation.items),
        epochs=len(fitted.epochs),
        best_epoch=fitted.best.epoch,
        loss=fitted.best.loss,
        validation=fitted.best.validation,
        seconds=time.perf_counter() - started,
    )
    run_folder_files.write_run(folder, run)
    return TrainReport(
        run_folder=str(folder),
        epochs=run.epochs,
        best_epoch=run.best_epoch,
        loss=run.loss,
        validation=run.validation,
        users=run.users,
        users_skipped=skipped,
        parent=run.parent,
        seconds=run.seconds,
    )


def fit(
    parts: Split,
    content: NDArray[np.float16],
    towers_config: TowerConfig,
    recipe: Recipe,
    *,
    seed: int,
    parent: Parent | None = None,
    progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
) -> Fitted:
    """Towers trained on `parts`; everything in memory. The same seed gives the same weights.

    `content` (n items, C) in the order of the items table.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rng = np.random.default_rng(seed)
    table = torch.from_numpy(np.ascontiguousarray(content)).to(device)
    validate = validation(parts.validation.sample(recipe.validation_cases), content, towers_config.max_length)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if parent is None:
            towers = Towers(towers_config).to(device)
            towers.fit_input(table[torch.from_numpy(np.unique(parts.train.items)).to(device)])
        else:
            towers = parent.towers.to(device)
        fits = []
        first_rate = recipe.learning_rate if parent is None else recipe.final_learning_rate
        plan = [("tune", parts.train, recipe.epochs, first_rate)]
        if recipe.final_epochs:
            plan.append(
                ("final", parts.train_and_validation, recipe.final_epochs, recipe.final_learning_rate)
            )
        for phase, sequences, phase_epochs, peak in plan:
            task = objective(sequences, table, recipe, towers_config.max_length)
            part = Fit(towers, task, recipe, phase=phase, epochs=phase_epochs, peak=peak, rng=rng)
            part.run(validate=validate if phase == "tune" else None, on_epoch=on_epoch, progress=progress)
            fits.append(part)
    tuned = fits[0]
    history = [epoch for part in fits for epoch in part.history]
    return Fitted(towers.eval(), history, tuned.history[tuned.best_epoch - 1])


def check_content(content: NDArray[np.float16], item_ids: list[str]) -> None:
    """`DataError` unless every content vector (n items, C) is finite."""
    broken = np.flatnonzero(~np.isfinite(content).all(axis=1))
    if len(broken):
        first = ", ".join(item_ids[row] for row in broken[:5])
        raise DataError(
            f"content vectors: {len(broken)} of {len(content)} are not finite (NaN or infinite),"
            f" first of items {first}; remove their shards from the content store and embed again"
        )


def _recipe(config: Config, epochs: int | None) -> Recipe:
    chosen = epochs if epochs is not None else config.training.epochs
    recipe = recipe_preset(config.training.preset)
    if chosen is None:
        return recipe
    final = min(recipe.final_epochs, chosen)
    return recipe.model_copy(update={"epochs": chosen, "final_epochs": final})


def _check_sequences(sequences: Sequences) -> int:
    """How many users have nothing to learn from; `DataError` if that is all of them."""
    first = sequences.times_us[sequences.offsets[:-1]]
    last = sequences.times_us[sequences.offsets[1:] - 1]
    skipped = int(np.count_nonzero(first == last))
    if skipped == len(sequences):
        raise DataError(
            f"training: none of {len(sequences)} users has two interactions at different times before the"
            " cut to validation; there is nothing to learn from"
        )
    if skipped:
        log.info("%d of %d users have fewer than two interactions: skipped", skipped, len(sequences))
    return skipped
