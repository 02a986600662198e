"""`learn-features embed`: item texts → content vectors."""

import json
from pathlib import Path
from typing import Annotated

import typer


def embed(
    folder: Annotated[Path, typer.Argument(help="Folder with items.parquet (and interactions.parquet).")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Encode the texts of a catalogue; only new and changed ones, and a killed run goes on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table

    from learn_features import config as settings
    from learn_features.content.embed import embed_catalogue
    from learn_features.data.tables import read_dataset

    config = settings.load()
    items = read_dataset(folder, config.data).items
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("encoding items", total=None, speed="")

        def show(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, speed=f"{speed:.0f} items/s" if speed else "")

        report = embed_catalogue(config, items, show)
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
        return
    table = Table("encoded", "unchanged", "cut at max_tokens", "items/s", "seconds", "encoder")
    rate = f"{report.encoded / report.seconds:.0f}" if report.encoded else "–"
    table.add_row(
        *map(str, (report.encoded, report.unchanged, report.truncated, rate)),
        f"{report.seconds:.1f}",
        report.encoder_id,
    )
    Console().print(table)


def register(app: typer.Typer) -> None:
    app.command()(embed)
