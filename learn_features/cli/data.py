"""`simulate` and `check`: data in."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from learn_features import config as settings
from learn_features.cli.evaluation import SplitKind
from learn_features.console import open_console


def register(app: typer.Typer) -> None:
    app.command()(simulate)
    app.command()(check)


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder for items.parquet and interactions.parquet.")],
    seed: Annotated[int, typer.Option(help="The same seed and sizes give the same bytes.")] = 0,
    items: Annotated[int, typer.Option(help="Items in the catalogue.", min=100)] = 2_000,
    users: Annotated[int, typer.Option(help="Users.", min=1)] = 3_000,
    days: Annotated[int, typer.Option(help="Days the market runs.", min=2)] = 60,
    sessions: Annotated[float, typer.Option(help="Expected sessions a user.", min=0.1)] = 9.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a simulated marketplace: a catalogue with texts, and who clicked what when."""
    from learn_features.data.tables import time_span
    from learn_features.simulation.world import World

    world = World.draw(seed, items, users, days, sessions)
    console = open_console(stderr=True)
    with console.status(f"{users:,} users shop among {items:,} items for {days} days …"):
        simulation = world.run()
        simulation.write(out)
    first, last = time_span(simulation.interactions)
    _print(
        {
            "folder": str(out),
            "seed": seed,
            "items": simulation.items.height,
            "users": simulation.interactions["user_id"].n_unique(),
            "interactions": simulation.interactions.height,
            "first": first.isoformat(),
            "last": last.isoformat(),
        },
        as_json,
        "Simulated world",
    )


def check(
    folder: Annotated[
        Path, typer.Argument(help="Folder with items and interactions (.parquet, .csv, .jsonl).")
    ],
    held_out: Annotated[
        SplitKind | None, typer.Option("--split", help="What is held out; default training.split.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Validate a data folder: says what is in it and what is wrong with it, for training, too."""
    from learn_features.data.item_index import ItemIndex
    from learn_features.data.splits import split
    from learn_features.data.tables import read_dataset, time_span
    from learn_features.training.seen import check_next_items

    config = settings.load()
    dataset = read_dataset(folder, config.data)
    interactions = dataset.interactions
    first, last = time_span(interactions)
    kind = held_out.value if held_out else config.training.split
    parts = split(dataset, ItemIndex(dataset.items["item_id"]), config.history, kind)
    check_next_items(parts, dataset.log_file)
    _print(
        {
            "folder": str(folder),
            "items": dataset.items.height,
            "users": interactions["user_id"].n_unique(),
            "interactions": interactions.height,
            "event_types": interactions["event_type"].unique().sort().to_list(),
            "has_times": dataset.has_times,
            "first": first.isoformat() if dataset.has_times else None,
            "last": last.isoformat() if dataset.has_times else None,
            "split": parts.kind,
            "validation_users": len(parts.validation),
            "test_users": len(parts.test),
            "warnings": dataset.warnings,
        },
        as_json,
        "Data set",
    )


def _print(figures: dict[str, object], as_json: bool, title: str) -> None:
    if as_json:
        typer.echo(json.dumps(figures, indent=1))
        return
    console = open_console()
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in figures.items():
        if name != "warnings" and value is not None:
            table.add_row(name.replace("_", " "), f"{value:,}" if type(value) is int else str(value))
    console.print(table)
    warnings = figures.get("warnings")
    for warning in warnings if isinstance(warnings, list) else []:
        console.print("warning ", style="yellow", end="")
        console.print(warning)
