"""Train towers: the one entry for command line and DAG."""

import json
import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from learn_features.config import Config, tracking_uri
from learn_features.content.checked import check_content
from learn_features.content.spec import encoder_spec
from learn_features.contracts import columns as c
from learn_features.contracts import times
from learn_features.contracts.manifest import RESIDUALS_FILE
from learn_features.contracts.run_files import (
    CONTENT_FILE,
    CURVES_FILE,
    METRICS_FILE,
    RUN_FILE,
    RUN_WEIGHTS_FILE,
)
from learn_features.data.digest import digest
from learn_features.data.item_index import ItemIndex
from learn_features.data.splits import split
from learn_features.data.tables import read_dataset
from learn_features.errors import ConfigError
from learn_features.towers.config import TowerConfig, tower_preset
from learn_features.towers.identity import weights_sha256
from learn_features.towers.weights import check_run, describe, save_towers
from learn_features.training import run as run_folder_files
from learn_features.training.checkpoint import Checkpoints
from learn_features.training.content_file import map_content, write_content
from learn_features.training.curves import Epoch, draw_curves
from learn_features.training.fit import Fitted, OnEpoch, OnResume, fit
from learn_features.training.identity import MACHINE, differences, training_inputs
from learn_features.training.loop import Progress
from learn_features.training.memory import enough_memory
from learn_features.training.ranks import Ranks, joined, restarted
from learn_features.training.recipe import Recipe, check_together, recipe_preset
from learn_features.training.run import TrainingRun, TrainReport
from learn_features.training.seen import check_next_items, without_next_item
from learn_features.training.tracking import tracking
from learn_features.training.warm_start import open_parent

__all__ = ["Fitted", "TrainReport", "fit", "train"]

CHECKPOINT_SECONDS = 120.0

log = logging.getLogger(__name__)


def train(
    config: Config,
    data_folder: str | Path,
    run_folder: str | Path,
    *,
    parent: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    fresh: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
    on_resume: OnResume | None = None,
    on_embedded: Progress | None = None,
) -> TrainReport:
    """Train by `config.training.preset` on the data set in `data_folder`, into `run_folder`.

    The best epoch on validation is kept; then the validation interactions get in as the recipe's `final`
    says. `parent` (bundle or run) is where the weights start, at the lower of the recipe's rates;
    `epochs` (also the most `final_epochs`) and `seed` override the settings. On a GPU if there is one;
    under torchrun in all its processes, of which the first writes. Content vectors that are missing are
    embedded first (`on_embedded`: so many of so many texts).

    A checkpoint is put down every `checkpoint_seconds` (0: every step) and after every epoch. The same
    call on a folder that has one goes on from there, to the same weights as if it had never stopped; on a
    folder that holds this very training, it does nothing. `fresh` starts anew (but where torchrun starts its
    processes again: they go on).

    Raises `DataError` (nothing to learn from, content missing or not finite), `ConfigError` (unknown
    preset, diverging loss, a folder with a training or a checkpoint of other inputs, or one that another
    process trains into), `SpaceMismatch` or `BundleError` (parent, checkpoint of another architecture).
    """
    if not str(run_folder):
        raise ConfigError("train: the name of the run's folder is empty; name a folder to train into")
    folder = Path(run_folder)
    if folder.resolve() == Path(data_folder).resolve():
        raise ConfigError(f"{folder}: is the data's own folder; train into another one")
    if parent and folder.resolve() == Path(parent).resolve():
        raise ConfigError(f"{folder}: is the parent's own folder; train into another one")
    with joined() as ranks, ExitStack() as cleanup, enough_memory():
        fresh = fresh and not restarted()
        return _train(
            config, data_folder, folder, ranks, cleanup, parent=parent, epochs=epochs, seed=seed,
            fresh=fresh, checkpoint_seconds=checkpoint_seconds, progress=progress, on_epoch=on_epoch,
            on_resume=on_resume, on_embedded=on_embedded,
        )  # fmt: skip


def _train(
    config: Config,
    data_folder: str | Path,
    folder: Path,
    ranks: Ranks,
    cleanup: ExitStack,
    *,
    parent: str | None,
    epochs: int | None,
    seed: int | None,
    fresh: bool,
    checkpoint_seconds: float,
    progress: Progress | None,
    on_epoch: OnEpoch | None,
    on_resume: OnResume | None,
    on_embedded: Progress | None,
) -> TrainReport:
    started = time.perf_counter()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder for the run")
    seed = config.training.seed if seed is None else seed
    recipe = _recipe(config, epochs)
    dataset = read_dataset(data_folder, config.data)
    item_ids = dataset.items[c.ITEM_ID].to_list()
    parts = split(dataset, ItemIndex(dataset.items[c.ITEM_ID]), config.history, config.training.split)
    if ranks.leads:
        for warning in dataset.warnings:
            log.warning("%s", warning)
    check_next_items(parts, dataset.log_file)
    spec = encoder_spec(config.encoder)
    towers_config = _towers(config, spec.dimension, has_times=parts.has_times)
    check_together(recipe, towers_config)
    warm = open_parent(parent, spec, config.history, towers_config) if parent else None
    if warm is not None:
        warm.check_unseen(parts, warns=ranks.leads)
    flatters = warm is not None and warm.knows_validation(parts)
    if flatters and ranks.leads:
        log.warning("the parent was trained on a part of the validation cases: their figures flatter")
    known = training_inputs(
        parts, item_ids, towers_config, recipe, seed=seed, encoder=spec, history=config.history, parent=warm,
        ranks=ranks,
    )  # fmt: skip
    content_file = folder / CONTENT_FILE
    if ranks.leads:
        if not fresh:  # before anything is embedded
            _finished_here(folder, known)
            Checkpoints(folder, known, checkpoint_seconds).check()
        cleanup.enter_context(run_folder_files.alone_in(folder))
        for name in (CONTENT_FILE, RUN_FILE, *run_folder_files.OUTPUTS):
            for stray in folder.glob(f".{name}.*.tmp"):  # of a process that was killed while it wrote
                stray.unlink()
        cleanup.callback(content_file.unlink, missing_ok=True)
        write_content(config, dataset.items, content_file, on_embedded)
    ranks.wait()
    content = map_content(content_file)
    inputs = {**known, "content": digest(content)}
    (finished,) = ranks.told([ranks.leads and not fresh and _finished_here(folder, inputs)])
    checkpoints = Checkpoints(folder, inputs, checkpoint_seconds)
    if finished:
        if ranks.leads:  # killed after run.json was written, it left a checkpoint
            checkpoints.clear()
        return TrainReport.of(run_folder_files.read_run(folder), folder, None, trained_before=True)
    if fresh:  # what `fit` would refuse, before the old run is thrown away
        check_content(content, item_ids)
    else:
        checkpoints.check()
    resumed: list[str] = []

    def note_resume(phase: str, step: int) -> None:
        resumed.append(f"{phase} {step}")
        log.info("resumed at step %d of phase %s", step, phase)
        if on_resume is not None:
            on_resume(phase, step)

    params = {**inputs, "preset": config.training.preset, "users": len(parts.train), "items": len(item_ids)}
    uri = tracking_uri() if ranks.leads else None
    with tracking(uri, folder.name, None if fresh else checkpoints.folder, params) as tracker:
        if ranks.leads and fresh:  # only now that nothing above has refused
            run_folder_files.discard(folder)
        if tracker is not None:
            tracker.note_in(checkpoints.folder)
        ranks.wait()

        def note_epoch(epoch: Epoch) -> None:
            if tracker is not None:
                tracker.epoch(epoch)
            if on_epoch is not None:
                on_epoch(epoch)

        fitted = fit(
            parts, content, towers_config, recipe, seed=seed, item_ids=item_ids, parent=warm,
            progress=progress, on_epoch=note_epoch, checkpoints=checkpoints, on_resume=note_resume,
            ranks=ranks,
        )  # fmt: skip
        if ranks.leads:
            asked = fitted.tuning.item_to_item
            trained_on = parts.train_and_validation if recipe.ends_on_validation else parts.train
            reads_back = recipe.backwards and asked is not None and asked.cf.backward > 0
            skipped = without_next_item(trained_on, within_moments=reads_back)
            ends = [times.from_us(trained_on.newest_us), warm.trained_until if warm else None]
            run = TrainingRun(
                encoder=spec,
                history=config.history,
                towers=towers_config,
                preset=config.training.preset,
                recipe=recipe,
                seed=seed,
                split=parts.kind,
                data_cutoff=times.from_us(parts.data_cutoff_us),
                trained_until=max(end for end in ends if end is not None),
                parent=warm.space_id if warm else None,
                users=len(trained_on) - skipped,
                users_skipped=skipped,
                items=len(item_ids),
                interactions=len(trained_on.items),
                epochs=len(fitted.epochs),
                best_epoch=fitted.best.epoch,
                loss=fitted.best.loss,
                validation=fitted.best.validation,
                validation_flatters=flatters,
                seconds=time.perf_counter() - started,
                digests={name: inputs[name] for name in ("data", "content", "parent")},
                weights_sha256=_write_weights(folder, fitted),
            )
            run_folder_files.write_metrics(folder, fitted.epochs, fitted.points)
            draw_curves(fitted.epochs, fitted.points, folder / CURVES_FILE)
            run_folder_files.write_run(folder, run)
            if tracker is not None:
                names = (RUN_FILE, METRICS_FILE, CURVES_FILE)
                tracker.finish(fitted.points, [folder / name for name in names])
    if ranks.leads:
        checkpoints.clear()
    ranks.wait()
    return TrainReport.of(run_folder_files.read_run(folder), folder, resumed[0] if resumed else None)


def _write_weights(folder: Path, fitted: Fitted) -> str:
    """Write towers and residuals; SHA-256 over their tensors."""
    residuals = None if fitted.residuals is None else folder / RESIDUALS_FILE
    save_towers(fitted.towers, folder / RUN_WEIGHTS_FILE)
    if fitted.residuals is not None and residuals is not None:
        fitted.residuals.save(residuals)
    else:
        (folder / RESIDUALS_FILE).unlink(missing_ok=True)
    return weights_sha256(folder / RUN_WEIGHTS_FILE, residuals)


def _finished_here(folder: Path, inputs: Mapping[str, Any]) -> bool:
    """Whether `folder` holds a finished training of these inputs.

    Raises `ConfigError` if it is of others, `BundleError` if its weights are not those it was written with.
    """
    if not (folder / RUN_FILE).exists():
        return False
    run = run_folder_files.read_run(folder)
    ours = json.loads(json.dumps({name: part for name, part in inputs.items() if name not in MACHINE}))
    theirs = {name: run.inputs().get(name) for name in ours}
    differing = list(differences(theirs, ours))
    if differing:
        raise ConfigError(
            f"{folder}: holds a finished training of other settings or data ({', '.join(differing[:5])}); "
            "train into another folder, or with --fresh in its place"
        )
    check_run(folder, describe(folder))
    return True


def _towers(config: Config, content_dimension: int, *, has_times: bool) -> TowerConfig:
    given = {
        "content_dimension": "the encoder's",
        "max_length": "history.max_length",
        "has_times": "the log's",
    }
    for name, source in given.items():
        if name in config.training.towers:
            raise ConfigError(f"training.towers.{name}: is {source}; leave it out")
    return tower_preset(
        config.training.preset,
        content_dimension=content_dimension,
        has_times=has_times,
        max_length=config.history.max_length,
        **config.training.towers,
    )


def _recipe(config: Config, epochs: int | None) -> Recipe:
    chosen = epochs if epochs is not None else config.training.epochs
    given = config.training.recipe
    recipe = recipe_preset(config.training.preset, **given)
    if chosen is None:
        return recipe
    shorter = {"epochs": chosen, "final_epochs": min(recipe.final_epochs, chosen)}
    return recipe_preset(config.training.preset, **{**given, **shorter})
