"""What each part of the paper's method is worth: its ablations, with the paper's loss, on real data.

    .venv/bin/python benchmarks/ablations.py --items ITEMS --interactions INTERACTIONS --json

Variants of a preset with the paper's loss (dense all action, no residuals) on the same split and seeds:
item tower (a), (b), (c) and no towers at all; how positions are sampled; text or item ids; what the preset
has beyond the paper. `--preset paper` is of the paper's size and wants a GPU. The first seed finds each
variant's number of epochs on validation (preset `paper`: each seed its own); all seeds are then fitted on
train and validation, and answer the test cases. Differences are paired: same cases, resampled together.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.machine import emit, run
from benchmarks.methods import METRICS, Method, figures, row, table_of
from benchmarks.world import World, add_data_arguments, log, open_world, parsed
from learn_features.console import open_console
from learn_features.errors import LearnFeaturesError
from learn_features.evaluation.baselines import tuned
from learn_features.evaluation.baselines.mean_content import MeanContentParameters, mean_content
from learn_features.evaluation.bootstrap import Bootstrap, Interval
from learn_features.towers.config import tower_preset
from learn_features.training.recipe import recipe_preset

PRESETS = ("paper-small", "paper")
A, B, C = "(a) target sequences read causally", "(b) each target by itself", "(c) content as item vector"
NONE, NONE_TUNED = "no alignment: mean content", "no alignment: mean content, tuned"
RANDOM_PAIRS, RECENT_ENTRIES = "random at stage two", "recency at stage one too"
ONE_RECENT, ONE_RANDOM = "one pair a user, recency", "one pair a user, random"
IDS, FORMULA = "item ids instead of text", "the paper's formula alone"


@dataclass(frozen=True)
class Variant:
    """Changes of the preset's towers and of its recipe; `ids`: one-hot vectors stand for content."""

    towers: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    ids: bool = False


def variants(content_dimension: int, base: str) -> dict[str, Variant]:
    """Row → variant. All that is not about the item tower has the item tower of row `base`."""
    items = {
        A: {"item_variant": "sequence"},
        B: {"item_variant": "single"},
        C: {"item_variant": "content", "dimension": content_dimension},
    }
    one = {"history_positions": 1, "target_positions": 1}
    recipes = {
        RANDOM_PAIRS: {"second_stage": "random"},
        RECENT_ENTRIES: {"first_stage": "recency"},
        ONE_RECENT: one,
        ONE_RANDOM: {**one, "second_stage": "random"},
        FORMULA: {"logq": False, "spare_history": False, "start": "random"},
    }
    return {
        **{name: Variant(towers) for name, towers in items.items()},
        IDS: Variant(items[base], {"start": "random"}, ids=True),
        **{name: Variant(items[base], recipe) for name, recipe in recipes.items()},
    }


def comparisons(base: str) -> dict[str, tuple[str, str]]:
    """Claim → the two rows of which it is the ratio of Recall@10."""
    return {
        "a_over_b": (A, B),
        "b_over_c": (B, C),
        "c_over_no_alignment": (C, NONE_TUNED),
        "c_over_plain_mean": (C, NONE),
        "alignment_lift": (base, NONE_TUNED),
        "alignment_over_plain_mean": (base, NONE),
        "text_over_ids": (base, IDS),
        "recency_over_random": (base, RANDOM_PAIRS),
        "random_over_recency_at_stage_one": (base, RECENT_ENTRIES),
        "recency_over_random_of_one_pair": (ONE_RECENT, ONE_RANDOM),
        "preset_over_formula_alone": (base, FORMULA),
    }


def main(arguments: list[str] | None = None) -> None:
    asked = parsed(_parser(), arguments, seeds=1, epochs=1)
    world = open_world(asked)
    base = {"sequence": A, "single": B}[world.towers.item_variant]
    methods: dict[str, Method] = {}

    def note(name: str, method: Method) -> None:
        methods[name] = method
        means = (f"{metric} {method.values(metric).mean():.4f}" for metric in METRICS)
        log.print(f"{name}: {', '.join(means)}; {method.seconds:.0f} s", soft_wrap=True)

    pooled = mean_content(world.content, MeanContentParameters(newest=None, age=0.0))
    note(NONE, Method(False, 0.0, [world.ask(pooled)]))
    best = tuned(
        world.parts, world.content, world.n_items, names=["content"],
        budget_seconds=1.0 if asked.quick else None,
    )["content"]  # fmt: skip
    assert best.scorer is not None
    note(NONE_TUNED, Method(False, best.seconds, [world.ask(best.scorer)], str(best.parameters)))
    for name, variant in variants(world.content.shape[1], base).items():
        if asked.only and name not in (base, *asked.only):
            continue
        log.print(name)
        try:
            note(name, _fitted(world, asked.preset, variant, range(asked.seeds)))
        except LearnFeaturesError as error:
            log.print(f"{name}: left out, {error}", soft_wrap=True)
    claims = {
        claim: [_compared(methods[ours], methods[theirs], metric) for metric in METRICS]
        for claim, (ours, theirs) in comparisons(base).items()
        if ours in methods and theirs in methods
    }
    rows = [{**row(name, method), "preset": asked.preset} for name, method in methods.items()] + [
        {"claim": claim, "better": ours, "worse": theirs}
        | {
            f"{metric}_difference": [difference.value, difference.low, difference.high]
            for metric, (_ratio, difference) in zip(METRICS, claims[claim], strict=True)
        }
        for claim, (ours, theirs) in comparisons(base).items()
        if claim in claims
    ]
    emit(
        "ablations",
        rows,
        {claim: of_recall.value for claim, ((of_recall, _), _) in claims.items()},
        asked.json,
        lambda: show(rows),
    )


def _fitted(world: World, preset: str, variant: Variant, seeds: range) -> Method:
    content = np.eye(world.n_items, dtype=np.float16) if variant.ids else world.content
    varied = replace(
        world,
        content=content,
        towers=tower_preset(
            preset,
            content_dimension=content.shape[1],
            max_length=world.towers.max_length,
            **variant.towers,
        ),
        recipe=recipe_preset(preset, **{"epochs": world.recipe.epochs, **variant.recipe}),
    )
    method, found = Method(False, 0.0), None
    started = time.monotonic()
    for seed in seeds:
        fitted = varied.fit(world.parts, seed, found)
        found = found or fitted.tuning
        method.answers.append(varied.ask(varied.scorer(fitted)))
    method.seconds, method.note = time.monotonic() - started, f"{found.epochs} epochs" if found else ""
    return method


def _compared(ours: Method, theirs: Method, metric: str) -> tuple[Interval, Interval]:
    """Ratio and difference."""
    resample = Bootstrap(len(ours.answers[0]))
    values = ours.values(metric), theirs.values(metric)
    return resample.ratio(*values), resample.difference(*values)


def show(rows: list[dict[str, Any]]) -> None:
    table = table_of("variant", "Recall@10", "", "NDCG@10", "", "runs", "seconds")
    differences = table_of("claim: ahead, behind", *(f"{metric}, difference" for metric in METRICS))
    for line in rows:
        if "claim" in line:
            cells = [
                "{:+.4f} ({:+.4f} to {:+.4f})".format(*line[f"{metric}_difference"]) for metric in METRICS
            ]
            differences.add_row(f"{line['claim']}: {line['better']}, {line['worse']}", *cells)
            continue
        table.add_row(line["method"], *figures(line), str(line["runs"]), f"{line['seconds']:.0f}")
    out = open_console()
    out.print(table)
    out.print(differences)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_arguments(parser)
    parser.add_argument(
        "--only",
        action="append",
        metavar="VARIANT",
        choices=list(variants(1, A)),
        help="a row to fit, and no others but the preset's; again for more: " + "; ".join(variants(1, A)),
    )
    parser.add_argument("--preset", choices=PRESETS, default=PRESETS[0], help="(%(default)s)")
    return parser


if __name__ == "__main__":
    run(main)
