"""`learn-features export`: a training run → a published bundle."""

import json
from pathlib import Path
from typing import Annotated

import typer

from learn_features.console import open_console


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    evaluation: Annotated[
        Path | None,
        typer.Option(help="Evaluation of these weights, for the manifest; default RUN/evaluation.json."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Export both towers to ONNX, check them against torch, publish the bundle."""
    from rich.table import Table

    from learn_features import config as settings
    from learn_features.release.entry import export_folder

    console = open_console(stderr=True)
    with console.status("exporting and checking both towers"):
        bundle = export_folder(settings.load(), run, evaluation)
    manifest = bundle.manifest
    if as_json:
        shown = {
            "bundle": bundle.uri,
            "space_id": manifest.space_id,
            "dimension": manifest.dimension,
            "metrics": manifest.metrics,
            "parity": manifest.parity.model_dump(),
        }
        typer.echo(json.dumps(shown))
        return
    table = Table("space", "dimension", "largest difference ONNX – torch", "Recall@10")
    recall = manifest.metrics.get("recall_at_10")
    table.add_row(
        manifest.space_id,
        str(manifest.dimension),
        f"{manifest.parity.max_abs_diff:.1e} in {manifest.parity.cases} cases",
        f"{recall:.4f}" if recall is not None else "not evaluated",
    )
    open_console().print(table)
    typer.echo(bundle.uri)


def register(app: typer.Typer) -> None:
    app.command()(export)
