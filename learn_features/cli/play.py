"""The group `play`: a finished demo's world left running in the background."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from learn_features import config as settings

DEMO_FOLDER = Path("var/demo")

Out = Annotated[Path, typer.Option(help="Folder of the demo.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="A demo's world left running in the background.")
    group.command("start")(start)
    group.command("stop")(stop)
    group.command("status")(status)
    app.add_typer(group, name="play")


def start(out: Out = DEMO_FOLDER, as_json: AsJson = False) -> None:
    """Start broker and consumers of a finished demo, and leave them running."""
    from learn_features.services import play

    up = play.start(out)
    if as_json:
        typer.echo(json.dumps(up._asdict()))
        return
    typer.echo(f"running (pid {up.pid}), Kafka at {up.bootstrap_servers}. Try:")
    typer.echo("  learn-features click USER ITEM\n  learn-features upload new-1 --title 'Red running shoes'")
    typer.echo("  learn-features play stop")


def stop(out: Out = DEMO_FOLDER) -> None:
    """Stop what `play start` left running."""
    from learn_features.services import play

    typer.echo("stopped" if play.stop(out) else "nothing was running")


def status(out: Out = DEMO_FOLDER, as_json: AsJson = False) -> None:
    """Say whether a play is running; exit 1 if not."""
    from learn_features.services import play

    up = play.running(out.resolve())
    if as_json:
        typer.echo(json.dumps(up._asdict() if up else None))
    else:
        typer.echo(f"running (pid {up.pid}), Kafka at {up.bootstrap_servers}" if up else "not running")
    if up is None:
        raise typer.Exit(1)


def follow() -> None:
    """While a demo's world is left running, commands on what runs speak to that world, and say so."""
    from learn_features.services import play

    up = play.running(DEMO_FOLDER.resolve())
    if up is not None:
        os.environ[settings.CONFIG_VARIABLE] = str((DEMO_FOLDER / settings.DEFAULT_FILE).resolve())
        os.environ[play.SERVERS_VARIABLE] = up.bootstrap_servers
        typer.echo(f"play is running: this is about {DEMO_FOLDER}; name another world with -c", err=True)
