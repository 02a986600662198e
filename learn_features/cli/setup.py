"""`doctor` and `config show`: what is set up, what is wrong, what to do."""

import json
from typing import Annotated

import typer

from learn_features import config as settings
from learn_features.console import open_console


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="The effective settings.")
    group.command("show")(show)
    app.add_typer(group, name="config")
    app.command()(doctor)


def show(as_json: Annotated[bool, typer.Option("--json", help="JSON instead of YAML.")] = False) -> None:
    """Print the effective settings (file, then environment); secrets are masked."""
    import yaml

    values = settings.load().masked()
    typer.echo(json.dumps(values, indent=2) if as_json else yaml.safe_dump(values, sort_keys=False).rstrip())


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array instead of lines.")] = False,
) -> None:
    """Check environment, settings, stores and broker; one line each: ok, note or problem, and what to do."""

    from learn_features.cli import diagnosis

    console = open_console(highlight=False, soft_wrap=True)
    colours = {"ok": "green", "note": "yellow", "problem": "bold red"}
    findings = []
    for finding in diagnosis.findings():
        findings.append(finding)
        if not as_json:
            advice = f" → {finding.advice}" if finding.advice else ""
            colour = colours[finding.state]
            console.print(f"{finding.state:8} ", style=colour, end="")
            console.print(f"{finding.subject:15} {finding.detail}{advice}")
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)
