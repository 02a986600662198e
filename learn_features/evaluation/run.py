"""A training run against the baselines, on the test part of its data set's split."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from learn_features.config import Config
from learn_features.content.embed import load_content
from learn_features.content.spec import encoder_spec
from learn_features.contracts import columns as c
from learn_features.contracts import times
from learn_features.contracts.manifest import EncoderSpec
from learn_features.data.item_index import ItemIndex
from learn_features.data.splits import split
from learn_features.data.tables import read_dataset
from learn_features.errors import SpaceMismatch
from learn_features.evaluation.content import content
from learn_features.evaluation.harness import Scorer, evaluate
from learn_features.evaluation.item_cf import item_cf
from learn_features.evaluation.item_cf_tuning import tune
from learn_features.evaluation.popularity import popularity, recent_popularity
from learn_features.evaluation.report import ranked, sentence
from learn_features.towers.scoring import tower_scorer
from learn_features.towers.weights import describe, history_rule

EVALUATION_FILE = "evaluation.json"
MAX_CASES = 10_000
KS = (10, 50)

Progress = Callable[[int, int], None]


def evaluate_run(
    config: Config,
    data_folder: str | Path,
    run_folder: str | Path,
    progress: Progress | None = None,
    max_cases: int = MAX_CASES,
) -> dict[str, Any]:
    """Evaluate the run's towers and all baselines on test, and write `<run_folder>/evaluation.json`.

    Baselines are tuned on validation and fitted on all before the test cut, with the history rule of the
    run. At most `max_cases` test users, drawn by a fixed seed. Raises `DataError`, `BundleError`,
    `SpaceMismatch` where the settings name another encoder than the run's.
    """
    dataset = read_dataset(data_folder, config.data)
    index = ItemIndex(dataset.items[c.ITEM_ID])
    about = describe(run_folder)
    rule = history_rule(run_folder, about)
    parts = split(dataset, index, rule)
    _refuse_other_encoder(config, run_folder, about)
    vectors = load_content(config, dataset.items)
    parameters = tune(parts, len(index))
    scorers: dict[str, Scorer] = {
        "towers": tower_scorer(run_folder, vectors, index.ids),
        "popularity": popularity(parts.train_and_validation, len(index)),
        "item_cf": item_cf(parts.train_and_validation, len(index), parameters),
        "content": content(vectors, rule.max_length),
    }
    if dataset.has_times:
        scorers["recent_popularity"] = recent_popularity(parts.everything, len(index))
    cases = parts.test.sample(max_cases)
    answers = evaluate(scorers, cases, ks=KS, progress=progress)
    methods = {name: answer.means() for name, answer in answers.items()}
    result = {
        "split": parts.kind,
        "test_users": len(cases),
        "test_users_in_all": len(parts.test),
        "items": len(index),
        "data_cutoff": times.from_us(parts.data_cutoff_us).isoformat(),
        "methods": methods,
        "item_cf_parameters": asdict(parameters),
        "winner": ranked(methods)[0],
        "sentence": sentence(methods),
        "warnings": dataset.warnings,
    }
    _write(Path(run_folder) / EVALUATION_FILE, result)
    return result


def _refuse_other_encoder(config: Config, run_folder: str | Path, about: dict[str, Any]) -> None:
    trained_on, configured = EncoderSpec.model_validate(about["encoder"]), encoder_spec(config.encoder)
    if trained_on.id != configured.id:
        raise SpaceMismatch(
            f"{run_folder}: its towers read vectors of encoder {trained_on.id} ({trained_on.model}), but "
            f"the settings name {configured.id} ({configured.model}); set encoder as it was at training"
        )


def _write(path: Path, result: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w") as file:
        json.dump(result, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
