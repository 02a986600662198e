"""Steps 2 and 3: the training DAG from data to bundle, the roll-out DAG from bundle to slot."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from learn_features.contracts import columns as c
from learn_features.contracts.run_files import EVALUATION_FILE, METRICS_FILE, RUN_FILE
from learn_features.demo import plots
from learn_features.demo.console import Step, text_table
from learn_features.demo.context import Context
from learn_features.demo.summary import METHODS, by_recall

_MAP_ITEMS = 2_000


def train(context: Context) -> None:
    """DAG `train_towers`: content → towers → evaluation → gate → ONNX → bundle."""
    with context.step(2, "Train (Airflow: train_towers)", "train") as step:
        run_folder = run_training(context, step, "first")
        evaluation = json.loads((run_folder / EVALUATION_FILE).read_text())
        _take_quality(context, evaluation, run_folder)
        rows = [
            (METHODS.get(name, name), f"{q['recall_at_10']:.4f}", f"{q['ndcg_at_10']:.4f}")
            for name, q in by_recall(context.summary.quality)
        ]
        step.table(
            text_table("", ("    method", "Recall@10", "NDCG@10"), [(f"    {n}", r, d) for n, r, d in rows])
        )
        step.note(context.summary.sentence)
        parity = context.summary.parity["max_abs_diff"]
        step.note(f"bundle {context.bundles[0]}, ONNX against torch: {parity:.1e} at most")


def run_training(
    context: Context, step: Step, name: str, parent: str | None = None, epochs: int | None = None
) -> Path:
    """Run the training DAG; appends to `bundles` and raises the summary's parity figure where larger."""
    from learn_features.release.bundle import open_bundle

    run_folder = context.workspace.runs / name
    values = context.airflow.run(
        "train_towers",
        {
            "data_folder": context.data_folder,
            "run_folder": str(run_folder),
            "parent": parent,
            "epochs": epochs,
            "seed": context.options.seed,
        },
        step.progress,
    )
    bundle = open_bundle(values["publish"])
    context.bundles.append(bundle.uri)
    worst = max(context.summary.parity.get("max_abs_diff", 0.0), bundle.manifest.parity.max_abs_diff)
    context.summary.parity = {"max_abs_diff": worst, "tolerance": bundle.manifest.parity.tolerance}
    return run_folder


def serve(context: Context) -> None:
    """The data into the offline log, then DAG `roll_out_space`: views, backfill, materialise, slot."""
    from learn_features.data.tables import read_dataset
    from learn_features.features.dataset_import import import_dataset

    with context.step(3, "Serve (Airflow: roll_out_space)", "serve") as step:
        step.progress("offline log", 0, 0)
        report = import_dataset(context.config, read_dataset(context.data_folder, context.config.data))
        step.note(f"offline log: {report.interactions:,} interactions, {report.items:,} items")
        space_id = roll_out(context, step, context.bundles[0], context.config.slot)
        store = "Redis" if context.options.redis else "the online store"
        step.note(f"space {space_id} is ready in {store}; slot {context.config.slot} reads it")
        _draw_map(context, space_id)


def roll_out(context: Context, step: Step, bundle_uri: str, slot: str | None) -> str:
    """Run the roll-out DAG; the space's id."""
    values = context.airflow.run("roll_out_space", {"bundle_uri": bundle_uri, "slot": slot}, step.progress)
    space_id: str = values["begin"]
    context.spaces.append(space_id)
    return space_id


def _take_quality(context: Context, evaluation: dict[str, Any], run_folder: Path) -> None:
    summary, story = context.summary, context.story
    summary.quality = evaluation["methods"]
    summary.sentence = evaluation["sentence"]
    run = json.loads((run_folder / RUN_FILE).read_text())
    summary.data |= {
        "split": str(evaluation["split"]).replace("_", " "),
        "test_cases": evaluation["test_users"],
        "train_seconds": run["seconds"],
    }
    lines = (run_folder / METRICS_FILE).read_text().splitlines()
    for epoch in (line for line in map(json.loads, lines) if "epoch" in line):
        story.losses.append(epoch["loss"])
        story.phases.append(epoch["phase"])
        if epoch.get("validation"):
            story.validation.append(epoch["validation"]["ndcg_at_10"])


def _draw_map(context: Context, space_id: str) -> None:
    """A map of the space's item vectors, as the offline log has them; of a sample where there are many."""
    from learn_features.contracts import names
    from learn_features.features.offline_log import OfflineLog

    rows = OfflineLog(context.config.offline).embeddings(names.item_embedding_view(space_id))
    rows = (
        rows.drop_nulls(names.ITEM_VECTOR).sort(c.AS_OF).unique(c.ITEM_ID, keep="last", maintain_order=True)
    )
    rows = rows.sample(min(rows.height, _MAP_ITEMS), seed=0)
    vectors = np.stack(rows[names.ITEM_VECTOR].to_list()).astype(np.float32)
    points = plots.plane(vectors)
    context.story.map_points = [(round(float(x), 4), round(float(y), 4)) for x, y in points]
    group_of = dict(zip(context.dataset.items[c.ITEM_ID], context.groups, strict=True))
    context.story.map_groups = [group_of.get(item_id) or "" for item_id in rows[c.ITEM_ID]]
