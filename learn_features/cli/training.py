"""`learn-features train`: a data set → trained towers in a run's folder."""

import json
from pathlib import Path
from typing import Annotated

import typer

from learn_features.cli.evaluation import SplitKind
from learn_features.console import open_console
from learn_features.errors import ConfigError


def train(
    folder: Annotated[
        Path, typer.Argument(help="Folder with items and interactions (.parquet, .csv, .jsonl).")
    ],
    run: Annotated[str, typer.Argument(help="Folder that the trained towers go to.")],
    preset: Annotated[
        str | None, typer.Option(help="small, paper-small or paper; default training.preset.")
    ] = None,
    split: Annotated[SplitKind | None, typer.Option(help="What is held out; default training.split.")] = None,
    parent: Annotated[
        str | None, typer.Option(help="Bundle or run to start from (warm start), path or URI.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: learn.yaml, then the preset.")] = None,
    seed: Annotated[int | None, typer.Option(help="Default training.seed.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew, in place of what RUN holds, finished or stopped.")
    ] = False,
    checkpoint_seconds: Annotated[
        float | None, typer.Option(min=0, help="Time between checkpoints; default 120, and after each epoch.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Train both towers; the best epoch on validation is kept.

    A run that was killed goes on where it was: give the same command again. A finished one is left as it is;
    other settings or data need another folder, or --fresh. On several GPUs:
    torchrun --nproc-per-node N --no-python learn-features train FOLDER RUN
    """
    from dataclasses import asdict

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table

    from learn_features import config as settings
    from learn_features.training.curves import Epoch
    from learn_features.training.ranks import speaks
    from learn_features.training.train import CHECKPOINT_SECONDS
    from learn_features.training.train import train as run_training

    if parent == "":
        raise ConfigError("--parent: is empty; name a bundle or run, or leave it out")
    config = settings.load()
    asked = {"preset": preset, "split": split.value if split else None}
    changes = {name: value for name, value in asked.items() if value is not None}
    training = config.training.model_copy(update=changes)
    config = config.model_copy(update={"training": training})
    errors = open_console(stderr=True, quiet=not speaks())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("training", total=None)
        embedding = bar.add_task("embedding", visible=False)

        def show(epoch: Epoch) -> None:
            metrics = "  ".join(f"{name} {value:.4f}" for name, value in epoch.validation.items())
            line = f"{epoch.phase} {epoch.epoch}  loss {epoch.loss:.4f}  {metrics}"
            bar.console.print(line, soft_wrap=True)

        def say_resumed(phase: str, step: int) -> None:
            bar.console.print(f"resumed at step {step} of phase {phase}")

        report = run_training(
            config,
            folder,
            run,
            parent=parent,
            epochs=epochs,
            seed=seed,
            fresh=fresh,
            checkpoint_seconds=CHECKPOINT_SECONDS if checkpoint_seconds is None else checkpoint_seconds,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            on_epoch=show,
            on_resume=say_resumed,
            on_embedded=lambda done, total: bar.update(
                embedding, completed=done, total=total, visible=done < total
            ),
        )
    if not speaks():
        return
    if as_json:
        typer.echo(json.dumps(asdict(report)))
        return
    if report.trained_before:
        errors.print(f"{run} holds this training already; --fresh trains again", soft_wrap=True)
    validation = "validation (parent trained on some of it)" if report.validation_flatters else "validation"
    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in (
        ("towers in", report.run_folder),
        ("users", f"{report.users:,}"),
        ("skipped", f"{report.users_skipped:,}"),
        ("best epoch", str(report.best_epoch)),
        ("loss", f"{report.loss:.3f}"),
        (f"{validation} Recall@10", f"{report.validation.get('recall_at_10', float('nan')):.4f}"),
        (f"{validation} NDCG@10", f"{report.validation.get('ndcg_at_10', float('nan')):.4f}"),
        ("seconds", f"{report.seconds:.0f}"),
    ):
        table.add_row(name, value)
    open_console().print(table)
    errors.print(f"next: learn-features evaluate {folder} {run}", style="dim", soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command()(train)
