"""A training run against the baselines, on the test part of its data set's split."""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from learn_features.config import Config
from learn_features.content.embed import load_content
from learn_features.content.spec import encoder_spec
from learn_features.contracts import columns as c
from learn_features.contracts import times
from learn_features.contracts.run_files import EVALUATION_FILE, RUN_FILE
from learn_features.data.digest import digest
from learn_features.data.item_index import ItemIndex
from learn_features.data.splits import Kind, split
from learn_features.data.tables import read_dataset
from learn_features.durable import write_text
from learn_features.errors import BundleError, ConfigError, SpaceMismatch
from learn_features.evaluation.baselines import QUICK, tuned
from learn_features.evaluation.baselines.registry import baseline
from learn_features.evaluation.bootstrap import Bootstrap
from learn_features.evaluation.evaluated import Evaluated
from learn_features.evaluation.harness import evaluate
from learn_features.evaluation.report import as_served, ranked, reservation, sentence
from learn_features.evaluation.slices import by_slice, slices
from learn_features.towers.scoring import tower_scorer
from learn_features.towers.weights import check_run, describe, encoder_of, history_rule, tower_config

MAX_CASES = 10_000
TUNING_CASES = 1_000
"""Validation cases that tuning asks here, so that a roll-out does not wait for it."""
KS = (10, 50)
WITH_INTERVALS = ("recall_at_10", "ndcg_at_10")
OURS = "towers"
SERVED = "as_served"
"""The towers where a case's history ended before the end of the log, asked at that end."""

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def evaluate_run(
    config: Config,
    data_folder: str | Path,
    run_folder: str | Path,
    progress: Progress | None = None,
    max_cases: int = MAX_CASES,
    *,
    kind: Kind | None = None,
    mask_history: bool = True,
    baselines: Sequence[str] = QUICK,
    budget_seconds: float | None = None,
    on_baseline: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Evaluate the run's towers and `baselines` on test, and write `<run_folder>/evaluation.json`.

    Baselines are tuned on validation and fitted on all before the test cut, with the history rule of the
    run. At most `max_cases` test users, drawn by a fixed seed. The split is the one the run was trained
    on. Raises `DataError`, `BundleError` (no training run, damaged), `ConfigError` where `kind` is another
    split than the run's, a baseline is unknown or the folder cannot be written, `SpaceMismatch` where the
    settings name another encoder than the run's; all but data errors before anything is embedded or tuned.

    Where a case's history ended before the end of the log and the towers see that (leave-one-out with times),
    `as_served` has their figures without: gate and manifest go by these.
    """
    dataset = read_dataset(data_folder, config.data)
    index = ItemIndex(dataset.items[c.ITEM_ID])
    about = describe(run_folder)
    if "files" in about:
        raise BundleError(f"{run_folder}: is a bundle; evaluate the training run that it was made of")
    rule = history_rule(run_folder, about)
    parts = split(dataset, index, rule, _kind(run_folder, about, kind), repeats=not mask_history)
    _refuse_other_data(data_folder, run_folder, about, parts.digest(index.ids))
    _refuse_other_encoder(config, run_folder, about)
    if not os.access(run_folder, os.W_OK):
        raise ConfigError(f"{run_folder}: {EVALUATION_FILE} cannot be written there; evaluate a copy of it")
    for name in baselines:
        baseline(name)
    check_run(Path(run_folder), about)
    vectors = load_content(config, dataset.items)
    ours = tower_scorer(run_folder, vectors, index.ids)
    warnings = [
        *dataset.warnings,
        *_other_content(run_folder, about, digest(vectors)),
        *_all_in_front(len(index)),
    ]
    for warning in warnings:
        log.warning("%s", warning)
    fitted = tuned(
        parts,
        vectors,
        len(index),
        names=baselines,
        budget_seconds=budget_seconds,
        mask_history=mask_history,
        cases=TUNING_CASES,
        progress=on_baseline,
    )
    scorers = {OURS: ours} | {
        name: method.scorer for name, method in fitted.items() if method.scorer is not None
    }
    cases = parts.test.sample(max_cases)
    if cases.ages_us is not None and tower_config(run_folder, about).example_age:
        scorers[SERVED] = lambda some: ours(some.at_log_end())
    answers = evaluate(scorers, cases, ks=KS, mask_history=mask_history, coverage=True, progress=progress)
    served = {SERVED: answers.pop(SERVED)} if SERVED in answers else {}
    methods = {name: answer.means() for name, answer in answers.items()}
    served_figures = {name: answer.means() for name, answer in served.items()}
    intervals = _intervals(answers, served)
    said = sentence(methods) + "".join(as_served(methods, figures) for figures in served_figures.values())
    result = {
        "weights_sha256": about["weights_sha256"],
        "split": parts.kind,
        "mask_history": mask_history,
        "test_users": len(cases),
        "test_users_in_all": len(parts.test),
        "items": len(index),
        "data_cutoff": times.from_us(parts.data_cutoff_us).isoformat(),
        "methods": methods,
        **served_figures,
        **intervals,
        "slices": by_slice(answers, slices(cases, parts.train_and_validation, len(index))),
        "baselines": {name: method.row() for name, method in fitted.items()},
        "winner": ranked(methods)[0],
        "sentence": said + reservation(methods, intervals["towers_minus"], len(cases)),
        "warnings": warnings,
    }
    write_text(Path(run_folder) / EVALUATION_FILE, json.dumps(result, indent=1))
    return result


def _kind(run_folder: str | Path, about: Mapping[str, Any], asked: Kind | None) -> Any:
    """The split to evaluate on: what the run was trained on, since on another it has seen the answers."""
    trained_on = about.get("split")
    if asked and trained_on and asked != trained_on:
        raise ConfigError(
            f"{run_folder}: was trained on the split {trained_on}; on {asked} its towers have seen some of "
            f"the answers. Leave the split out, or train on {asked}"
        )
    return asked or trained_on or "auto"


def _intervals(answers: Mapping[str, Evaluated], served: Mapping[str, Evaluated]) -> dict[str, Any]:
    """95 % intervals of each method, and of the towers minus each other method (paired)."""
    of = {**answers, **served}
    keys = [(name, metric) for metric in WITH_INTERVALS for name in of]
    values = [of[name].per_case(metric) for name, metric in keys]
    resampled = dict(zip(keys, Bootstrap(len(answers[OURS])).resample(values), strict=True))
    intervals: dict[str, Any] = {name: {} for name in of}
    differences: dict[str, Any] = {name: {} for name in answers if name != OURS}
    for (name, metric), found in resampled.items():
        intervals[name][metric] = asdict(found.interval())
        if name in differences:
            differences[name][metric] = asdict(resampled[OURS, metric].minus(found).interval())
    return {"intervals": intervals, "towers_minus": differences}


def _refuse_other_data(
    data_folder: str | Path, run_folder: str | Path, about: Mapping[str, Any], ours: str
) -> None:
    """Towers that were trained on other data may have seen the answers."""
    if not isinstance(about.get("digests"), dict):
        raise BundleError(
            f"{run_folder}/{RUN_FILE}: does not say on what data it was trained; train it again"
        )
    if about["digests"].get("data") != ours:
        raise ConfigError(
            f"{run_folder}: was trained on other data than {data_folder} (its items or their order, or its"
            " interactions before the test cut); evaluate it on the data it was trained on, or train on these"
        )


def _other_content(run_folder: str | Path, about: Mapping[str, Any], ours: str) -> list[str]:
    """A warning where content vectors are not those that the towers were trained on."""
    if about["digests"].get("content") == ours:
        return []
    return [
        f"{run_folder}: was trained on other content vectors: item texts have changed since, or were embedded"
        " anew on another machine; the figures are of the towers with these"
    ]


def _all_in_front(items: int) -> list[str]:
    """A warning where a catalogue has no more items than places that count."""
    if items > KS[0]:
        return []
    return [f"{items} items are all in the first {KS[0]} places, whatever ranks them: Recall@{KS[0]} is 1"]


def _refuse_other_encoder(config: Config, run_folder: str | Path, about: dict[str, Any]) -> None:
    trained_on, configured = encoder_of(run_folder, about), encoder_spec(config.encoder)
    if trained_on.id != configured.id:
        raise SpaceMismatch(
            f"{run_folder}: its towers read vectors of encoder {trained_on.id} ({trained_on.model}), but "
            f"the settings name {configured.id} ({configured.model}); set encoder as it was at training"
        )
