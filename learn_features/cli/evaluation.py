"""`evaluate`: trained towers against the baselines."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from learn_features.console import open_console

if TYPE_CHECKING:
    from rich.console import Console

    from learn_features.data.splits import Kind


class SplitKind(StrEnum):
    """`auto` in training: by time where there are times; in evaluation: what the run was trained on."""

    auto = "auto"
    leave_one_out = "leave_one_out"
    global_time = "global_time"


def register(app: typer.Typer) -> None:
    app.command()(evaluate)


def evaluate(
    folder: Annotated[
        Path, typer.Argument(help="Folder with items and interactions (.parquet, .csv, .jsonl).")
    ],
    run: Annotated[Path, typer.Argument(help="Folder of a training run; evaluation.json goes there.")],
    max_users: Annotated[
        int, typer.Option(help="Test users at most, drawn by a fixed seed.", min=1)
    ] = 10_000,
    split: Annotated[
        SplitKind, typer.Option(help="Must be the split that the run was trained on; auto takes it.")
    ] = SplitKind.auto,
    mask_history: Annotated[
        bool, typer.Option(help="Neither rank nor ask for what a user has taken before.")
    ] = True,
    baselines: Annotated[
        str,
        typer.Option(
            help="quick (popularity, recent_popularity, item_cf, content), all (also ease, ridge, sasrec, "
            "text_model: up to 36 min of tuning), or names with commas between."
        ),
    ] = "quick",
    budget: Annotated[
        float | None, typer.Option(help="Seconds of tuning a baseline, in place of its own budget.", min=0)
    ] = None,
    slices: Annotated[bool, typer.Option("--slices", help="Also print Recall@10 by slice.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Rank the whole catalogue for test users, by the towers and by baselines tuned on validation."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from learn_features import config as settings
    from learn_features.evaluation.baselines import BASELINES, QUICK
    from learn_features.evaluation.run import evaluate_run

    named = {"quick": QUICK, "all": tuple(BASELINES)}
    columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=open_console(stderr=True), transient=True) as bar:
        task = bar.add_task("users", total=None)
        result = evaluate_run(
            settings.load(),
            folder,
            run,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            max_cases=max_users,
            kind=None if split is SplitKind.auto else cast("Kind", split.value),
            mask_history=mask_history,
            baselines=named.get(baselines) or tuple(name.strip() for name in baselines.split(",")),
            budget_seconds=budget,
            on_baseline=lambda line: bar.console.print(line, soft_wrap=True),
        )
    if as_json:
        typer.echo(json.dumps(result, indent=1))
        return
    console = open_console()
    console.print(result["sentence"])
    _print_methods(console, result)
    if slices:
        _print_slices(console, result)


def _print_methods(console: "Console", result: dict[str, Any]) -> None:
    from rich.table import Table

    from learn_features.evaluation.report import NAMES, SHORT, ranked

    masked = "history masked" if result["mask_history"] else "history not masked"
    title = (
        f"{result['split'].replace('_', ' ')}, {result['test_users']:,} users, {result['items']:,} items, "
        f"{masked}, 95 % intervals"
    )
    # without lines it fits into 80 columns
    table = Table("method", title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("Recall@10", "", "NDCG@10", "", "Recall@50", "coverage"):
        table.add_column(heading, no_wrap=True)
    served = {"as_served": result["as_served"]} if "as_served" in result else {}
    for method in (*ranked(result["methods"]), *served):
        metrics = {**result["methods"], **served}[method]
        cells = []
        for name in ("recall_at_10", "ndcg_at_10"):
            bounds = result["intervals"][method][name]
            cells += [f"{metrics[name]:.4f}", f"{bounds['low']:.3f}–{bounds['high']:.3f}"]
        table.add_row(
            SHORT.get(method, method),
            *cells,
            f"{metrics['recall_at_50']:.4f}",
            f"{metrics['coverage_at_10']:.1%}",
        )
    console.print(table)
    for name, row in result["baselines"].items():
        if "not_run" in row:
            console.print(f"not run: {NAMES.get(name, name)}: {row['not_run']}", soft_wrap=True)


def _print_slices(console: "Console", result: dict[str, Any]) -> None:
    from rich.table import Table

    from learn_features.evaluation.report import SHORT

    methods = list(result["methods"])
    table = Table(
        "slice", "users", title="Recall@10 by slice", title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    table.columns[0].no_wrap = True
    for method in methods:
        table.add_column(SHORT.get(method, method))
    for name, part in result["slices"].items():
        figures = (f"{part['methods'][method]['recall_at_10']:.4f}" for method in methods)
        table.add_row(name.replace("_", " "), f"{part['cases']:,}", *figures)
    console.print(table)
