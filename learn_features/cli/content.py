"""`learn-features embed` and `learn-features content …`: item texts → content vectors, and their store."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from learn_features.console import open_console

if TYPE_CHECKING:
    from learn_features.content.embed import EmbedReport

EXIT_WITHOUT_VECTOR = 3
LOGGED_SECONDS = 10.0
"""Time between two lines where there is no terminal to draw a bar in."""

content = typer.Typer(
    no_args_is_help=True,
    help="The store of content vectors.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def embed(
    folder: Annotated[
        Path,
        typer.Argument(
            help="items.parquet (.csv, .jsonl), a folder with it, or a folder with shards of it in items/."
        ),
    ],
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="`ray`: the same under Ray Data, on the cluster of RAY_ADDRESS or a local one."),
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Actors of the engine `ray`; default one a GPU, else one a CPU.")
    ] = None,
    bad_items: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Where items with a problem are listed; default bad-items-ENCODER.csv in the state.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Encode the texts of a catalogue; only new and changed ones, and a killed run goes on.

    Vectors are written every half minute or so: whatever stops it, give it again. Exit codes: 0 every item
    has its vector; 3 done, but items listed with `no` have none; 1 stopped, with a message; 130 interrupted.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from learn_features import config as settings
    from learn_features.content.speed import Every, Speed
    from learn_features.data.catalogue import Catalogue

    config = settings.load()
    catalogue = Catalogue(folder, config.data)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=open_console(stderr=True), transient=True) as bar:
        task = bar.add_task("encoding items", total=catalogue.rows, speed="")
        speed = Speed()

        every = Every(LOGGED_SECONDS)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None, speed=speed.items(done))
            if not bar.console.is_terminal and every():
                bar.console.print(f"{done:,} of {total:,} items  {speed.items(done)}", soft_wrap=True)

        if engine == "ray":
            from learn_features.content.ray_engine import embed_with_ray

            report = embed_with_ray(
                config, catalogue, show, workers=workers, on_tokens=speed.tokens, bad_items=bad_items
            )
        else:
            from learn_features.content.embed import embed_catalogue

            report = embed_catalogue(
                config,
                catalogue.blocks(),
                show,
                total=catalogue.rows,
                on_tokens=speed.tokens,
                bad_items=bad_items,
            )
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    else:
        _show(report)
    if report.without_vector:
        raise typer.Exit(EXIT_WITHOUT_VECTOR)


@content.command()
def compact(
    grace_seconds: Annotated[
        float, typer.Option(min=0, help="Shards replaced longer ago than this are deleted.")
    ] = 3_600,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Write many small shards as few sorted ones, without vectors that no item has any more.

    Readers and writers may go on meanwhile. Replaced shards are deleted by a later run, after the grace.
    """
    from rich.table import Table

    from learn_features import config as settings
    from learn_features.content import compaction
    from learn_features.content.embed import open_store

    report = compaction.compact(open_store(settings.load()), grace_seconds)
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
        return
    table = Table("shards before", "after", "vectors", "dropped", "old shards deleted")
    table.add_row(*(f"{count:,}" for count in report.as_dict().values()))
    open_console().print(table)


def register(app: typer.Typer) -> None:
    app.command()(embed)
    app.add_typer(content, name="content")


def _show(report: "EmbedReport") -> None:
    from rich.table import Table

    table = Table("encoder", report.encoder_id)
    rates = [f"{n / report.seconds:,.0f}" if n else "–" for n in (report.encoded, report.tokens)]
    table.add_row("items encoded", f"{report.encoded:,}")
    table.add_row("items unchanged", f"{report.unchanged:,}")
    table.add_row("descriptions cut at description_tokens", f"{report.descriptions_cut:,}")
    table.add_row("texts cut at max_tokens", f"{report.truncated:,}")
    table.add_row("items with a problem", f"{report.bad:,}")
    table.add_row("items/s, tokens/s", ", ".join(rates))
    table.add_row("seconds", f"{report.seconds:.1f}")
    console = open_console()
    console.print(table)
    if report.bad:
        console.print(
            f"{report.bad:,} items have a problem, {report.without_vector:,} of them no vector: "
            f"{report.bad_items}",
            soft_wrap=True,
        )
    if report.damaged_shards:
        console.print(f"{report.damaged_shards} damaged shards were set aside and their items encoded again")
