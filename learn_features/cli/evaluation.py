"""`evaluate`: trained towers against the baselines."""

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(evaluate)


def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder with items.parquet and interactions.parquet.")],
    run: Annotated[Path, typer.Argument(help="Folder of a training run; evaluation.json goes there.")],
    max_users: Annotated[
        int, typer.Option(help="Test users at most, drawn by a fixed seed.", min=1)
    ] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Rank the whole catalogue for test users, by the towers and by every baseline."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table

    from learn_features import config as settings
    from learn_features.evaluation.report import NAMES, ranked
    from learn_features.evaluation.run import evaluate_run

    config = settings.load()
    columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("users", total=None)
        result = evaluate_run(
            config,
            folder,
            run,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            max_cases=max_users,
        )
    if as_json:
        typer.echo(json.dumps(result, indent=1))
        return
    console = Console()
    console.print(result["sentence"])
    title = f"{result['split'].replace('_', ' ')}, {result['test_users']:,} users, {result['items']:,} items"
    table = Table("method", "Recall@10", "NDCG@10", "Recall@50", title=title, title_justify="left")
    for method in ranked(result["methods"]):
        metrics = result["methods"][method]
        figures = (metrics[name] for name in ("recall_at_10", "ndcg_at_10", "recall_at_50"))
        table.add_row(NAMES[method], *(f"{figure:.4f}" for figure in figures))
    console.print(table)
