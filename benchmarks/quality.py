"""How good are the vectors? The towers against tuned baselines, on any data in the contract's form.

    .venv/bin/python benchmarks/quality.py --items ITEMS --interactions INTERACTIONS --json

Everything is tuned on validation and frozen before the test cases are looked at. The first seed tunes
(epochs, where new items stand, the time-aware prior); all seeds are then fitted on train and validation as
it found (preset `paper`, whose last phase goes on from the best epoch: each seed as itself finds), and
answer the same test cases. Cold items: a tenth of the items leaves what is fitted on.

    recall_lift, ndcg_lift   towers over the best tuned baseline that does not see the request's clock
    timed_recall_lift        towers with a prior by time over recent popularity
    timed_baseline_lift      the same over the best personal baseline on validation, with a prior of its own
    served_recall_lift       recall_lift of towers that do not see when a history ended, as they are served
    text_only_share          Recall@10 with nothing learned of single items, over that with it
    cold_recall_lift         cases that ask for a held-out item, whole catalogue: towers over mean content
    cold_only_recall_lift    the same, ranked among held-out items only
    known_recall_kept        cases that ask for any other item: the towers' Recall@10 over that with no
                             held-out item in the ranking, which is what showing new items costs the rest
"""

import argparse
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.cold_cases import ask_cold
from benchmarks.machine import emit, run
from benchmarks.methods import METRICS, Method, row, show, tell
from benchmarks.world import World, add_data_arguments, log, open_world, parsed, seconds
from learn_features.errors import ConfigError, LearnFeaturesError
from learn_features.evaluation.baselines import BASELINES, QUICK, TunedBaseline, tuned
from learn_features.evaluation.bootstrap import Bootstrap, Interval
from learn_features.evaluation.report import FEW
from learn_features.evaluation.timed_prior import TimedParameters, timed, tune_timed
from learn_features.towers.config import tower_preset
from learn_features.towers.scoring import scorer
from learn_features.training.fit import Tuning
from learn_features.training.recipe import recipe_preset
from learn_features.training.trained import Trained

OURS, POPULARITY, RECENT = "towers", "popularity", "recent_popularity"
TIMED_BASELINE, SERVED = "best baseline, timed", "towers, as served"


def main(arguments: list[str] | None = None) -> None:
    asked = parsed(
        _parser(), arguments, seeds=1, epochs=2, budget_seconds=2.0, baselines=list(QUICK), paper=False
    )
    started = time.monotonic()
    world = open_world(asked)
    seeds = range(asked.seeds)
    fitted_baselines = tuned(
        world.parts, world.content, world.n_items, names=asked.baselines, progress=log.print,
        budget_seconds=asked.budget_seconds,
    )  # fmt: skip
    methods = {
        name: Method(method.sees_clock, method.seconds, [world.ask(method.scorer)], tuning=method.row())
        for name, method in fitted_baselines.items()
        if method.scorer is not None
    }
    time_best_baseline(world, fitted_baselines, methods)
    for name, method in methods.items():
        tell(name, method)
    skipped = {name: method.not_run for name, method in fitted_baselines.items() if method.scorer is None}
    cold_rows: list[dict[str, Any]] = []
    claims: dict[str, Interval] = {}
    failed = ""
    if len(world.parts.test) < FEW:
        log.print(f"warning: {len(world.parts.test)} test cases are too few to tell methods apart")
    try:
        tuning = train_towers(world, seeds, methods)
        claims = lifts(methods)
        if asked.paper:
            add_paper(world, seeds, methods, asked.epochs)
        cold_rows, of_cold = ask_cold(world, seeds, tuning, fitted_baselines)
        claims |= of_cold
        for name in [name for name, found in claims.items() if not math.isfinite(found.value)]:
            log.print(f"{name}: nothing is claimed, as what it compares with finds nothing")
            del claims[name]
    except ConfigError as error:
        failed = f"with the recipe of --preset {asked.preset}, {error}"
    except LearnFeaturesError as error:
        failed = str(error)
    rows = [row(name, method) for name, method in methods.items() if method.answers] + cold_rows
    rows += [
        {"claim": name, "value": interval.value, "interval": [interval.low, interval.high]}
        for name, interval in claims.items()
    ]
    rows.append({"method": "whole run", "seconds": time.monotonic() - started, "not_run": skipped})
    emit(
        "quality",
        rows,
        {n: interval.value for n, interval in claims.items()},
        asked.json,
        lambda: show(rows, claims),
    )
    if failed:
        raise ConfigError(f"what is above is all there is: {failed}")


def time_best_baseline(world: World, fitted: dict[str, TunedBaseline], methods: dict[str, Method]) -> None:
    """Adds the blind baseline that is best on validation, with a prior by time that is tuned for it; not
    popularity, which with a prior is another popularity."""
    blind = [n for n, m in fitted.items() if m.scorer is not None and not m.sees_clock and n != POPULARITY]
    if not (world.parts.has_times and blind):
        return
    name = max(blind, key=lambda each: fitted[each].validation)
    best, started = fitted[name], time.monotonic()
    assert best.scorer is not None
    log.print(f"{name}: a prior by time")
    prior = tune_timed(best.fit(world.parts.train), world.parts, world.n_items)
    score = timed(best.scorer, world.parts.everything, world.n_items, prior)
    methods[TIMED_BASELINE] = Method(True, 0.0, [world.ask(score)], note=f"{name}; {prior}")
    methods[TIMED_BASELINE].seconds = time.monotonic() - started


def train_towers(world: World, seeds: range, methods: dict[str, Method]) -> Tuning:
    """Adds the towers, with text only, and with the prior by time; what the first seed found."""
    name = OURS
    priors: list[TimedParameters] = []

    def tune_prior(model: Trained) -> None:
        """On cases that do not ask for an item that was held out as new: all others are as they will be.
        Without the lift by demand, as the prior knows what that guesses: what is in demand at the request."""
        known = model.by_item(lifted=False)
        score = scorer(model.towers, world.content, known)
        held_out = np.isin(np.arange(world.n_items), np.setdiff1d(world.parts.train.items, model.items))
        cases = world.parts.validation.targeting(~held_out)
        asked = replace(world.parts, validation=cases) if len(cases) else world.parts
        priors.append(tune_timed(score, asked, world.n_items))

    found: Tuning | None = None
    times = world.parts.has_times
    methods[name] = Method(False, 0.0)
    if world.towers.residuals:
        methods["towers, text only"] = Method(False, 0.0)
    if times:
        methods["towers, timed"] = Method(True, 0.0)
    if world.towers.example_age and world.parts.test.ages_us is not None:
        methods[SERVED] = Method(False, 0.0)
    for seed in seeds:
        started = time.monotonic()
        fitted = world.fit(world.parts, seed, found, on_tuned=tune_prior if times and not found else None)
        seconds = time.monotonic() - started
        found = found or fitted.tuning
        score = world.scorer(fitted)
        methods[name].seconds += seconds
        methods[name].answers.append(world.ask(score))
        if "towers, text only" in methods:
            methods["towers, text only"].answers.append(world.ask(world.scorer(fitted, text_only=True)))
        if SERVED in methods:
            methods[SERVED].answers.append(world.ask(score, world.parts.test.at_log_end()))
        if times:
            plain = world.scorer(fitted, lifted=False)
            prior = timed(plain, world.parts.everything, world.n_items, priors[0])
            methods["towers, timed"].answers.append(world.ask(prior))
        for each in methods:
            if each.startswith(name):
                tell(each, methods[each])
    assert found is not None
    methods[name].note = f"{found}; {priors}"
    return found


def add_paper(world: World, seeds: range, methods: dict[str, Method], epochs: int | None) -> None:
    """The paper's own recipe, at a size for a CPU; the first seed finds its epochs."""
    preset = "paper-small"
    paper = replace(
        world,
        towers=tower_preset(
            preset, content_dimension=world.content.shape[1], max_length=world.towers.max_length
        ),
        recipe=recipe_preset(preset, **({"epochs": epochs} if epochs else {})),
    )
    log.print(preset)
    method, found = Method(False, 0.0), None
    for seed in seeds:
        started = time.monotonic()
        try:
            fitted = paper.fit(paper.parts, seed, found)
        except ConfigError as error:
            log.print(f"{preset}: left out, {error}", soft_wrap=True)
            methods.pop(preset, None)
            return
        methods[preset] = method
        method.seconds += time.monotonic() - started
        found = found or fitted.tuning
        method.answers.append(paper.ask(paper.scorer(fitted)))
        tell(preset, method)


def lifts(methods: dict[str, Method]) -> dict[str, Interval]:
    """Ratios to the best tuned baseline of each metric that does not see the clock, and the other claims."""
    resample = Bootstrap(len(methods[OURS].answers[0]))
    rivals = {name: m for name, m in methods.items() if name in BASELINES and not m.sees_clock}
    claims = {}
    for claim, metric in zip(("recall_lift", "ndcg_lift"), METRICS, strict=True) if rivals else ():
        best = max(rivals, key=lambda name: rivals[name].values(metric).mean())
        claims[claim] = resample.ratio(methods[OURS].values(metric), rivals[best].values(metric))
        if SERVED in methods and metric == METRICS[0]:
            served = methods[SERVED].values(metric)
            claims["served_recall_lift"] = resample.ratio(served, rivals[best].values(metric))
    if "towers, timed" in methods and RECENT in methods:
        claims["timed_recall_lift"] = resample.ratio(
            methods["towers, timed"].values(METRICS[0]), methods[RECENT].values(METRICS[0])
        )
    if "towers, timed" in methods and TIMED_BASELINE in methods:
        claims["timed_baseline_lift"] = resample.ratio(
            methods["towers, timed"].values(METRICS[0]), methods[TIMED_BASELINE].values(METRICS[0])
        )
    if "towers, text only" in methods:
        claims["text_only_share"] = resample.ratio(
            methods["towers, text only"].values(METRICS[0]), methods[OURS].values(METRICS[0]), same_runs=True
        )
    return claims


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_arguments(parser)
    parser.add_argument("--preset", default="small", help="of towers and recipe (%(default)s)")
    parser.add_argument(
        "--paper",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="the paper's own recipe as well, at a CPU's size (default: unless --quick)",
    )
    parser.add_argument(
        "--baselines",
        type=_names,
        default=list(BASELINES),
        metavar="A,B,…",
        help=f"all, or some of {', '.join(BASELINES)} (all)",
    )
    parser.add_argument(
        "--budget-seconds", type=seconds, metavar="S", help="for tuning each baseline, instead of its own"
    )
    return parser


def _names(text: str) -> list[str]:
    """Baselines, for argparse."""
    names = list(BASELINES) if text == "all" else text.split(",")
    if unknown := sorted(set(names) - set(BASELINES)):
        raise argparse.ArgumentTypeError(f"{', '.join(map(repr, unknown))}: there are {', '.join(BASELINES)}")
    return names


if __name__ == "__main__":
    run(main)
