"""What each part of the paper's method is worth: its ablations, with the paper's loss, on real data.

    .venv/bin/python benchmarks/ablations.py --items ITEMS --interactions INTERACTIONS --json

Variants of the preset `paper-small` (dense all action, no residuals), same data, seeds and epochs: item tower
(a), (b), (c) and no towers at all; recency or random at the second stage of sampling; text or item ids.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import emit
from benchmarks.quality import METRICS, Method, row
from benchmarks.world import World, add_data_arguments, log, open_world
from learn_features.evaluation.baselines.mean_content import MeanContentParameters, mean_content
from learn_features.evaluation.bootstrap import Bootstrap
from learn_features.towers.config import tower_preset
from learn_features.training.recipe import recipe_preset

PRESET = "paper-small"
FULL, NONE, IDS = "(a) item tower reads target sequences", "no alignment", "item ids instead of text"
"""Names of rows; the first is the paper's recipe."""


def variants(world: World) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Row → changes of towers and of recipe."""
    return {
        FULL: ({}, {}),
        "(b) each target by itself": ({"item_variant": "single"}, {}),
        "(c) content vectors as item vectors": (
            {"item_variant": "content", "dimension": world.content.shape[1]},
            {},
        ),
        "random at both stages": ({}, {"first_stage": "random", "second_stage": "random"}),
        "recency at both stages": ({}, {"first_stage": "recency", "second_stage": "recency"}),
        IDS: ({}, {}),
    }


def main(arguments: list[str] | None = None) -> None:
    asked = _parser().parse_args(arguments)
    if asked.quick:
        asked.seeds, asked.epochs = 1, 1
    world = open_world(asked)
    ids = np.eye(world.n_items, dtype=np.float16)
    methods: dict[str, Method] = {}
    for name, (towers, recipe) in variants(world).items():
        log.print(name)
        content = ids if name == IDS else world.content
        varied = replace(
            world,
            content=content,
            towers=tower_preset(
                PRESET,
                content_dimension=content.shape[1],
                max_length=world.towers.max_length,
                **towers,
            ),
            recipe=recipe_preset(PRESET, epochs=world.recipe.epochs, patience=world.recipe.epochs, **recipe),
        )
        started = time.monotonic()
        answers = [
            varied.ask(varied.scorer(varied.fit(world.parts, seed, None))) for seed in range(asked.seeds)
        ]
        methods[name] = Method(False, time.monotonic() - started, answers)
    pooled = mean_content(world.content, MeanContentParameters(newest=None, age=0.0))
    methods[NONE] = Method(False, 0.0, [world.ask(pooled)])
    resample = Bootstrap(len(methods[FULL].answers[0]))
    rows = []
    for name, method in methods.items():
        difference = resample.difference(methods[FULL].values(METRICS[0]), method.values(METRICS[0]))
        rows.append({**row(name, method), "behind_full": [difference.value, difference.low, difference.high]})
    claims = {
        "alignment_lift": methods[FULL].values(METRICS[0]).mean() / methods[NONE].values(METRICS[0]).mean(),
        "text_over_ids": methods[FULL].values(METRICS[0]).mean() / methods[IDS].values(METRICS[0]).mean(),
    }
    emit("ablations", rows, claims, asked.json, lambda: show(rows))


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("variant", "Recall@10", "", "NDCG@10", "(a) is better by", "runs", "seconds")
    for line in rows:
        table.add_row(
            line["method"],
            f"{line['recall_at_10']:.4f}",
            "{:.4f}–{:.4f}".format(*line["recall_at_10_interval"]),
            f"{line['ndcg_at_10']:.4f}",
            "{:+.4f} ({:+.4f} to {:+.4f})".format(*line["behind_full"]),
            str(line["runs"]),
            f"{line['seconds']:.0f}",
        )
    Console().print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_arguments(parser)
    parser.set_defaults(preset=PRESET)
    return parser


if __name__ == "__main__":
    main()
