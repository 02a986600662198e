"""The world of a benchmark on real data: a split, content vectors, and towers fitted and judged on it."""

import argparse
import copy
import math
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.progress import Progress

from learn_features.config import DataConfig, load
from learn_features.console import open_console
from learn_features.content.embed import load_content
from learn_features.contracts import columns as c
from learn_features.data.cases import Cases
from learn_features.data.item_index import ItemIndex
from learn_features.data.splits import Split, split
from learn_features.data.table_files import SUFFIXES
from learn_features.data.tables import Dataset, read_dataset
from learn_features.errors import DataError
from learn_features.evaluation.evaluated import Evaluated
from learn_features.evaluation.harness import Scorer, evaluate
from learn_features.simulation.world import simulate
from learn_features.towers.config import TowerConfig, tower_preset
from learn_features.towers.scoring import scorer
from learn_features.training.curves import Epoch
from learn_features.training.fit import Fitted, Tuning, fit
from learn_features.training.recipe import Recipe, recipe_preset

PLACES = 10
"""Metrics are at so many."""

log = open_console(stderr=True)


@dataclass(frozen=True)
class World:
    """The data of a run, and what all methods share."""

    parts: Split
    content: np.ndarray
    towers: TowerConfig
    recipe: Recipe

    @property
    def n_items(self) -> int:
        return len(self.content)

    def fit(self, parts: Split, seed: int, tuning: Tuning | None, **more: Any) -> Fitted:
        """A recipe whose final phase goes on from the best epoch tunes with every seed: `tuning` is for fresh
        weights."""
        if self.recipe.final == "continue":
            tuning = None
        started = time.monotonic()
        fitted = fit(
            parts, self.content, self.towers, self.recipe, seed=seed, tuning=tuning, on_epoch=_print, **more
        )
        log.print(f"  seed {seed}: {time.monotonic() - started:.0f} s, {len(fitted.epochs)} epochs")
        return fitted

    def scorer(self, fitted: Fitted, *, text_only: bool = False, lifted: bool = True) -> Scorer:
        """`text_only`: with nothing that was learned of single items, nor of similar ones; not `lifted`:
        without what demand at the end of the log adds."""
        if text_only:
            towers = copy.deepcopy(fitted.towers)
            if towers.item.similar is not None:
                towers.item.similar.make_room(0)
            return scorer(towers, self.content)
        known = None
        if fitted.residuals is not None:
            of = fitted.residuals.lookup if lifted else fitted.residuals.unlifted
            known = of([str(row) for row in range(self.n_items)])
        return scorer(fitted.towers, self.content, known)

    def ask(self, score: Scorer, cases: Cases | None = None, **more: Any) -> Evaluated:
        return evaluate({"": score}, cases if cases is not None else self.parts.test, **more)[""]


def open_world(asked: argparse.Namespace) -> World:
    recipe = recipe_preset(asked.preset, **({"epochs": asked.epochs} if asked.epochs else {}))
    config = load()
    if asked.state:
        config = config.model_copy(update={"state": str(Path(asked.state).resolve())})
    if bool(asked.items) != bool(asked.interactions) or not (asked.items or asked.quick):
        sys.exit("name both --items FILE and --interactions FILE (--quick does without)")
    dataset = read(asked.items, asked.interactions, config.data) if asked.items else simulated()
    for warning in dataset.warnings:
        log.print(f"warning: {warning}", soft_wrap=True)
    users = dataset.interactions.group_by(c.USER_ID).len().filter(pl.col("len") >= asked.min_interactions)
    if users.is_empty():
        raise DataError(
            f"{asked.interactions}: no user has {asked.min_interactions} interactions (--min-interactions)"
        )
    dataset = replace(
        dataset, interactions=dataset.interactions.join(users.select(c.USER_ID), on=c.USER_ID, how="semi")
    )
    index = ItemIndex(dataset.items[c.ITEM_ID])
    parts = split(dataset, index, config.history, asked.split)
    log.print(f"content vectors of {len(index):,} items")
    with Progress(console=log, transient=True, disable=not log.is_terminal) as bar:
        embedding = bar.add_task("content vectors", total=len(index))
        content = load_content(
            config, dataset.items, lambda done, total: bar.update(embedding, completed=done, total=total)
        )
    log.print(
        f"{len(parts.everything):,} users with at least {asked.min_interactions} interactions, "
        f"{len(index):,} items, {len(parts.everything.items):,} interactions; {parts.kind}, "
        f"{len(parts.test):,} test cases; seen items are neither ranked nor asked for"
    )
    if len(index) <= PLACES:
        log.print(f"warning: {len(index)} items are in the first {PLACES} places, whatever ranks them")
    towers = tower_preset(
        asked.preset,
        content_dimension=content.shape[1],
        has_times=parts.has_times,
        max_length=config.history.max_length,
    )
    return World(parts, content, towers, recipe)


def read(items: str, interactions: str, config: DataConfig | None = None) -> Dataset:
    """Two files anywhere, as the data set that a folder would hold; what is said of them names them."""
    with tempfile.TemporaryDirectory() as folder:
        given: dict[str, str] = {}
        for name, file in (("items", items), ("interactions", interactions)):
            path = Path(file).resolve()
            if not path.is_file():
                raise DataError(f"{file}: there is no such file (--{name})")
            suffix = Path(file).suffix
            if suffix not in SUFFIXES:
                raise DataError(f"{file}: is none of {', '.join(SUFFIXES)} (--{name})")
            link = Path(folder) / f"{name}{suffix}"
            link.symlink_to(path)
            given[str(link)] = file

        def named(text: str) -> str:
            for link, file in given.items():
                text = text.replace(link, file)
            return text

        try:
            dataset = read_dataset(folder, config)
        except DataError as error:
            raise DataError(named(str(error))) from None
        warnings = [named(warning) for warning in dataset.warnings]
        return replace(dataset, warnings=warnings, log_file=interactions)


def simulated() -> Dataset:
    with tempfile.TemporaryDirectory() as folder:
        simulate(seed=0, items=120, users=160).write(folder)
        return read_dataset(folder)


def _print(epoch: Epoch) -> None:
    judged = "".join(
        f", {name} {epoch.validation[name]:.4f}"
        for name in ("recall_at_10", "ndcg_at_10")
        if name in epoch.validation
    )
    log.print(f"  {epoch.phase} {epoch.epoch}: loss {epoch.loss:.3f}, {epoch.seconds:.0f} s{judged}")


def _count(text: str) -> int:
    """A number from 1 on, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return int(text)


def seconds(text: str) -> float:
    """A time, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return number


def parsed(parser: argparse.ArgumentParser, arguments: list[str] | None, **quick: Any) -> argparse.Namespace:
    """`arguments`, which with --quick have other defaults."""
    asked = parser.parse_args(arguments)
    if not asked.quick:
        return asked
    parser.set_defaults(**quick)
    return parser.parse_args(arguments)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """What benchmarks on real data have in common."""
    parser.add_argument("--items", metavar="FILE", help="items table (parquet, csv or jsonl)")
    parser.add_argument("--interactions", metavar="FILE", help="interactions table")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few seeds and epochs where none are named; simulated data if none are",
    )
    parser.add_argument(
        "--split", choices=["leave_one_out", "global_time"], default="leave_one_out", help="(%(default)s)"
    )
    parser.add_argument(
        "--min-interactions",
        type=_count,
        default=5,
        metavar="N",
        help="leave out users with fewer (%(default)s)",
    )
    parser.add_argument("--seeds", type=_count, default=3, metavar="N", help="(%(default)s)")
    parser.add_argument("--epochs", type=_count, metavar="N", help="instead of the preset's")
    parser.add_argument("--state", metavar="FOLDER", help="of the content store (default: the settings')")
    parser.add_argument("--json", action="store_true", help="one object on stdout and nothing else")
