"""Towers from a split and content vectors, in memory; `train.py` reads and writes around it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from learn_features.content.checked import check_content
from learn_features.data.splits import Split
from learn_features.errors import ConfigError, DataError
from learn_features.towers.config import TowerConfig
from learn_features.towers.model import Towers
from learn_features.towers.residuals import ItemResiduals, Lift
from learn_features.training import seeds
from learn_features.training.checkpoint import Checkpoints, check_tensors
from learn_features.training.content_table import ContentTable
from learn_features.training.curves import Epoch, Point
from learn_features.training.item_to_item import ItemToItem, tuned_item_to_item
from learn_features.training.loop import Loop, Progress
from learn_features.training.new_items import NewItems, draw_new, mean_length
from learn_features.training.objectives import objective
from learn_features.training.phase import TUNE, Counters, next_phase
from learn_features.training.placing import Placing, find_placing, place
from learn_features.training.ranks import Ranks, alone
from learn_features.training.recipe import Recipe, check_together, warn_of_unused
from learn_features.training.seen import seen
from learn_features.training.starting import start
from learn_features.training.trained import Trained
from learn_features.training.validation import validation, vectors_finite
from learn_features.training.warm_start import Parent

OnEpoch = Callable[[Epoch], None]
OnResume = Callable[[str, int], None]
"""Name of the phase, steps of it that were done."""
OnTuned = Callable[[Trained], None]


@dataclass(frozen=True)
class Tuning:
    """What the first phase finds on validation: how many epochs, what item-to-item models find in the log
    (None: not asked), where items stand beside what is learnt of them."""

    epochs: int
    item_to_item: ItemToItem | None = None
    placing: Placing = field(default_factory=Placing)


@dataclass(frozen=True)
class Fitted:
    """Trained towers, the residuals of known items, and what led to them."""

    towers: Towers
    residuals: ItemResiduals | None
    epochs: list[Epoch]
    best: Epoch
    points: list[Point]
    tuning: Tuning


def fit(
    parts: Split,
    content: NDArray[np.float16],
    towers_config: TowerConfig,
    recipe: Recipe,
    *,
    seed: int,
    item_ids: Sequence[str] | None = None,
    parent: Parent | None = None,
    progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoints: Checkpoints | None = None,
    on_resume: OnResume | None = None,
    ranks: Ranks | None = None,
    tuning: Tuning | None = None,
    on_tuned: OnTuned | None = None,
    later: NDArray[np.int64] | None = None,
) -> Fitted:
    """Towers trained on `parts`; everything in memory. The same seed gives the same weights,
    on a CPU with as many threads to the last bit.

    `content` (n items, C) is in the order of the items table, and so are `item_ids` (default: the
    positions, as text), by which residuals are kept. With `checkpoints`, training goes on where an earlier
    call with the same inputs was stopped. `ranks`: this process among several; all get the same towers.
    `tuning`: what an earlier fit found on these data; nothing is tuned then, and fresh weights are fitted on
    train and validation. With a `parent` new items stand and borrow as they do there. `on_tuned` sees the
    model that was fitted on `parts.train` alone, and of that without the items that were held out as new; the
    validation figures are this model's, too. `later`: items (catalogue positions) that came after all
    this, so that nothing follows from nobody's having taken them; default: where the split is by time, all
    that nobody took, and otherwise none.

    Raises `DataError` (content missing or not finite, nobody asked in validation), `ConfigError` (diverging
    loss, checkpoint of other inputs, towers that the loss cannot train), `BundleError` (checkpoint of another
    architecture).
    """
    check_together(recipe, towers_config)
    ranks = ranks or alone()
    if ranks.leads:
        warn_of_unused(recipe, towers_config)
    items = max(len(content), 1 + int(parts.everything.items.max(initial=-1)))
    ids = item_ids if item_ids is not None else [str(row) for row in range(items)]
    check_content(content, ids)
    table = ContentTable(content, ranks.device)
    vectors = torch.from_numpy(np.ascontiguousarray(content))
    asked = parts.validation.sample(recipe.validation_cases)
    if not len(asked):
        raise DataError("training: validation asks nobody anything, and by its users items are placed")
    learnt = parts.train_and_validation if tuning is not None or recipe.ends_on_validation else parts.train
    taken = learnt.taken
    new = np.zeros(0, dtype=np.int64)
    if tuning is None and parent is None and recipe.ends_on_validation and towers_config.places_new_items:
        new = draw_new(parts, recipe.new_item_share, seeds.generator(seed, 0, "weights"))
    saved = checkpoints.load() if checkpoints is not None else None
    ended = [Counters.of(counters) for counters in saved.counters["ended"]] if saved else []
    item_to_item = tuning.item_to_item if tuning else None
    if tuning is None and recipe.asks_item_to_item:
        if saved is not None:
            item_to_item = ItemToItem.of(saved.counters["item_to_item"])
        else:
            item_to_item = tuned_item_to_item(parts, items, ranks, teaches=recipe.teacher_share > 0)
    begin = partial(
        start, parts, table, towers_config, recipe,
        seed=seed, parent=parent, item_ids=ids, taken=taken, item_to_item=item_to_item,
    )  # fmt: skip
    epochs_found = tuning.epochs if tuning else None
    devices = [ranks.device] if ranks.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), seeds.one_order_of_sums(ranks.device):
        model = begin()
        while (phase := next_phase(recipe, ended, epochs_found, warm=parent is not None)) is not None:
            tunes = phase.name == TUNE
            if ended and recipe.final == "refit":
                model = begin()
            what = seen(parts, items, tuning=tunes, new=new, later=later)
            model.admit(what.sequences.items)
            model.borrow_nothing()
            task = objective(
                what.sequences, table, recipe, towers_config.max_length, ranks, item_to_item,
                untaken=what.untaken,
                asked_at_history_end=parts.validation.ages_us is not None, own_ends=not parts.has_times,
            )  # fmt: skip
            run = Loop(model, task, recipe, phase, seed=seed, ranks=ranks)
            if saved is not None:
                check_tensors(saved.tensors, run.tensors())
                run.restore(saved.tensors, Counters.of(saved.counters["now"]))
                saved = None
                if on_resume is not None:
                    on_resume(phase.name, run.counters.step)
            run.run(
                validate=validation(asked, content) if tunes else None,
                on_epoch=on_epoch,
                progress=progress,
                checkpoint=(
                    _saver(run, ended, item_to_item, checkpoints) if checkpoints and ranks.leads else None
                ),
            )
            if not vectors_finite(model, vectors, asked):
                raise ConfigError(f"training: vectors are not finite after {phase.name}; {run.calmer}")
            if tunes:
                trained = model.residuals_alone()
                run.counters.placing = find_placing(
                    model, vectors, parts, what, asked, new, recipe.new_item_cost, ranks
                )
                if on_tuned is not None:
                    on_tuned(model)
                model.take_back(trained)
            ended.append(run.counters)
        found = tuning or Tuning(ended[0].best_epoch, item_to_item, ended[0].placing)
        untaken = np.setdiff1d(np.arange(items), taken)
        standing = np.zeros((len(untaken), towers_config.dimension), dtype=np.float32)
        stays = np.isin(untaken, what.passed_over)
        if parent is not None:
            move = float(parent.moved.norm() / mean_length(model, vectors))
            of_parent = NewItems(move, parent.borrowing)
            found = replace(found, placing=replace(found.placing, new_items=of_parent))
            names = [ids[row] for row in untaken]
            standing, stays = parent.residuals_of(names), parent.knows(names)
        standing = place(model, vectors, what.sequences, asked, found.placing, standing, stays)
    return Fitted(
        towers=model.towers.eval(),
        residuals=_residuals(model, ids, untaken, standing),
        epochs=[epoch for counters in ended for epoch in counters.history],
        best=ended[0].history[(ended[0].best_epoch or len(ended[0].history)) - 1],
        tuning=found,
        points=[point for counters in ended for point in counters.points],
    )


def _saver(
    run: Loop, ended: list[Counters], item_to_item: ItemToItem | None, checkpoints: Checkpoints
) -> Callable[[bool], None]:
    """Puts down a checkpoint of `run` when it is time to."""
    found = None if item_to_item is None else item_to_item.as_numbers()

    def save(epoch_end: bool) -> None:
        if epoch_end or checkpoints.due():
            run.settle()
            past = [counters.as_dict() for counters in ended]
            counters = {"ended": past, "now": run.counters.as_dict(), "item_to_item": found}
            checkpoints.save(counters, run.tensors())

    return save


def _residuals(
    model: Trained,
    item_ids: Sequence[str],
    untaken: NDArray[np.int64],
    standing: NDArray[np.float32],
) -> ItemResiduals | None:
    """Of trained items, a lift being part of them, and what keeps untaken ones where they are; rows of
    zeros say nothing."""
    learned = model.by_item()
    if learned is None:
        return None
    table = np.concatenate((learned[model.items].cpu().numpy(), standing))
    named = np.concatenate((model.items, untaken))
    rows = np.flatnonzero(table.any(axis=1))
    lift = model.lift
    if lift is not None:
        heights = np.concatenate((lift.heights, np.zeros(len(untaken), dtype=np.float32)))
        lift = Lift(heights, lift.direction).of(rows)
    return ItemResiduals.of([item_ids[item] for item in named[rows]], table[rows], lift)
