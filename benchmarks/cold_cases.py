"""Part of `quality.py`: cases that ask for an item no method was fitted on, and what they cost the rest."""

import time
from typing import Any

import numpy as np

from benchmarks.methods import METRICS, Method, row, tell
from benchmarks.world import PLACES, World, log
from learn_features.errors import DataError
from learn_features.evaluation import cold
from learn_features.evaluation.baselines import TunedBaseline
from learn_features.evaluation.bootstrap import Bootstrap, Interval
from learn_features.evaluation.report import FEW
from learn_features.training.fit import Tuning

CONTENT = "content"
AMONG_COLD = 5 * PLACES
"""So many held-out items or fewer are not ranked among themselves: the places would hold a fifth of them."""


def ask_cold(
    world: World, seeds: range, tuning: Tuning, fitted: dict[str, TunedBaseline]
) -> tuple[list[dict[str, Any]], dict[str, Interval]]:
    """Rows and claims for test cases that ask for a held-out item."""
    try:
        held_out = cold.held_out_items(world.parts, world.n_items)
    except DataError as error:
        log.print(str(error))
        return [], {}
    parts = cold.without(world.parts, held_out)
    if not len(parts.validation):
        log.print("cold items: without them nobody asks anything in validation, by whom items are placed")
        return [], {}
    cases, others = world.parts.test.targeting(held_out), world.parts.test.targeting(~held_out)
    log.print(f"cold items: {held_out.sum():,} held out, {len(cases):,} test cases ask for one")
    if len(cases) < FEW:
        log.print(f"cold items: {len(cases)} cases are too few to tell", soft_wrap=True)
    among = {"cold": None, "cold, among cold": held_out}
    if held_out.sum() <= AMONG_COLD:
        del among["cold, among cold"]
        log.print(f"cold items: too few to be ranked among themselves in {PLACES} places")
    ours = {name: Method(False, 0.0) for name in among}
    known = {name: Method(False, 0.0) for name in ("other cases", "other cases, without held-out items")}
    for seed in seeds:
        started = time.monotonic()
        score = world.scorer(world.fit(parts, seed, tuning, later=np.flatnonzero(held_out)))
        ours["cold"].seconds += time.monotonic() - started
        for name, method in ours.items():
            method.answers.append(world.ask(score, cases, candidates=among[name]))
            tell(f"{name}: towers", method)
        for method, candidates in zip(known.values(), (None, ~held_out), strict=True):
            if len(others):
                method.answers.append(world.ask(score, others, candidates=candidates))
    of, claimed = METRICS[0], {}
    if len(others):
        ours |= known
        kept, whole = (method.values(of) for method in known.values())
        claimed["known_recall_kept"] = Bootstrap(len(others)).ratio(kept, whole, same_runs=True)
    rows = [row(f"{name}: towers", method) for name, method in ours.items()]
    pooled = fitted[CONTENT].scorer if CONTENT in fitted else None
    if pooled is None:
        return rows, claimed
    theirs = {name: Method(False, 0.0, [world.ask(pooled, cases, candidates=among[name])]) for name in among}
    rows += [row(f"{name}: content", method) for name, method in theirs.items()]
    resample = Bootstrap(len(cases))
    claims = {"cold": "cold_recall_lift", "cold, among cold": "cold_only_recall_lift"}
    return rows, claimed | {
        claims[name]: resample.ratio(ours[name].values(of), theirs[name].values(of)) for name in among
    }
