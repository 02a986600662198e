"""`demo`: the main job, end to end, on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from learn_features.console import open_console


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your folder with items.parquet and interactions.parquet; default: a simulated world."
        ),
    ] = None,
    external: Annotated[
        Path | None,
        typer.Option(help="A learn.yaml whose Kafka, Feast and online store to use instead of starting any."),
    ] = None,
    redis: Annotated[bool, typer.Option("--redis", help="Redis as online store instead of SQLite.")] = False,
    items: Annotated[int | None, typer.Option(help="Items of the simulated world [2000].", min=100)] = None,
    users: Annotated[int | None, typer.Option(help="Users of the simulated world [3000].", min=50)] = None,
    seed: Annotated[int, typer.Option(help="Seed of world and training.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A small world and fewer repetitions.")] = False,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Leave broker and consumers running until Ctrl-C.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for everything; emptied first.")] = Path("var/demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Only summary.json's object on stdout.")] = False,
) -> None:
    """Run the main job end to end: data, training, serving, streams, roll-out, ranking, report."""

    from learn_features.demo.console import Terminal
    from learn_features.demo.options import QUICK_ITEMS, QUICK_USERS, Options
    from learn_features.demo.run import run_demo
    from learn_features.errors import ConfigError

    if data is not None and (items is not None or users is not None):
        raise ConfigError("--items and --users size the simulated world; --data brings its own")
    if external is not None and redis:
        raise ConfigError("--redis starts a Redis; with --external the online store is feature_store.yaml's")
    defaults = Options()
    options = Options(
        folder=out,
        data=data,
        external=external,
        redis=redis,
        items=items or (QUICK_ITEMS if quick else defaults.items),
        users=users or (QUICK_USERS if quick else defaults.users),
        seed=seed,
        quick=quick,
        keep_running=keep_running,
    )
    run_demo(options, Terminal(open_console(stderr=True, highlight=False)) if as_json else Terminal())
    if as_json:
        typer.echo((out / "summary.json").read_text().rstrip())
