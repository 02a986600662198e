"""`spaces …`, `import`, `init` and `backfill`: data into the log, spaces into service and out of it."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learn_features import config as settings
from learn_features.console import open_console

if TYPE_CHECKING:
    from learn_features.config import Config

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
SpaceId = Annotated[str, typer.Argument(metavar="SPACE", help="Id of the space, s… (spaces list).")]
SlotName = Annotated[str | None, typer.Option("--slot", help="Slot; default: `slot` of learn.yaml.")]
Window = Annotated[int, typer.Option("--window-days", min=1, help="Days of offline history to write.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for the consumers.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Embedding spaces, rankers and slots.")
    for command in (begin, fill, sweep, check, ready, promote, rollback, retire, declare):
        group.command()(command)
    group.command("list")(list_spaces)
    group.command("show")(show_space)
    app.add_typer(group, name="spaces")
    app.command("import")(import_folder)
    app.command()(init)
    app.command()(backfill)


def list_spaces(as_json: AsJson = False) -> None:
    """Spaces, rankers and slots of the deployment document in force."""
    from rich.table import Table

    document = _document(settings.load())
    if as_json:
        typer.echo(document.model_dump_json(indent=2))
        return
    table = Table("space", "state", "dimension", "encoder", "history", "in slots")
    for space_id, space in document.spaces.items():
        readers = [
            name
            for name, slot in document.slots.items()
            if document.rankers[slot.ranker].space_id == space_id
        ]
        parts = (
            space_id,
            space.state,
            space.dimension,
            space.encoder.id,
            space.history.id,
            ", ".join(readers),
        )
        table.add_row(*map(str, parts))
    _print(table)
    slots = Table("slot", "ranker", "previous")
    for name, slot in document.slots.items():
        slots.add_row(name, slot.ranker, slot.previous or "–")
    _print(slots)


def show_space(space: SpaceId) -> None:
    """One space of the deployment document, as JSON."""
    from learn_features.errors import DeploymentError

    document = _document(settings.load())
    if space not in document.spaces:
        raise DeploymentError(f"space {space} is not in the deployment document")
    rankers = [name for name, ranker in document.rankers.items() if ranker.space_id == space]
    body = {**document.spaces[space].model_dump(mode="json"), "rankers": rankers}
    typer.echo(json.dumps({"space_id": space, **body}, indent=2))


def begin(
    bundle: Annotated[str, typer.Argument(help="Path or URI of a bundle (learn-features export).")],
    as_json: AsJson = False,
) -> None:
    """Declare a bundle's views and call its space filling: consumers embed into it from now on."""
    from learn_features.features import roll_out

    path = bundle if "://" in bundle else str(Path(bundle).resolve())
    space_id = roll_out.begin(settings.load(), path)
    _report({"space_id": space_id, "state": "filling"}, as_json)


def fill(space: SpaceId, window_days: Window = 1, wait: Wait = 60, as_json: AsJson = False) -> None:
    """Wait for the consumers, backfill the space, refresh users who are stale."""
    from learn_features.features import roll_out

    config = settings.load()
    with _refresher(config) as send, _progress("embedding users") as progress:
        report = roll_out.fill(
            config, space, window_days=window_days, wait_seconds=wait, send_refresh=send, progress=progress
        )
    _report(report.as_dict(), as_json)


def sweep(space: SpaceId, wait: Wait = 60, as_json: AsJson = False) -> None:
    """Send a refresh for every user whose vector is missing or out of date."""
    from learn_features.features import roll_out
    from learn_features.streaming.producers import Producer

    config = settings.load()
    with Producer(config) as producer:
        sent = roll_out.sweep(config, space, producer.refresh, wait)
    _report({"space_id": space, "refreshed": sent}, as_json)


def check(space: SpaceId, as_json: AsJson = False) -> None:
    """The gates of a space: coverage, online against offline, staleness. Exit 1 if one fails."""
    from learn_features.features import roll_out

    _report(roll_out.check(settings.load(), space).as_dict(), as_json)


def ready(space: SpaceId, as_json: AsJson = False) -> None:
    """Check the gates and call the space ready: its rankers may be promoted."""
    from learn_features.features import roll_out

    _report(roll_out.ready(settings.load(), space).as_dict(), as_json)


def promote(
    ranker: Annotated[str, typer.Argument(help="Ranker version, for example dot-product__s0123456789ab.")],
    slot: SlotName = None,
    as_json: AsJson = False,
) -> None:
    """Put a ranker version into a slot."""
    from learn_features.features import roll_out

    config = settings.load()
    _report_slot(roll_out.promote(config, ranker, slot), slot or config.slot, as_json)


def rollback(slot: SlotName = None, as_json: AsJson = False) -> None:
    """Put a slot's previous ranker back."""
    from learn_features.features import roll_out

    config = settings.load()
    _report_slot(roll_out.roll_back(config, slot), slot or config.slot, as_json)


def retire(space: SpaceId, as_json: AsJson = False) -> None:
    """Stop embedding into a space that nothing reads any more."""
    from learn_features.features import roll_out

    document = roll_out.retire(settings.load(), space)
    _report({"space_id": space, "state": "retired", "version": document.version}, as_json)


def declare(as_json: AsJson = False) -> None:
    """Add every view and service of the deployment document to Feast's registry again."""
    from learn_features.features.declarations import declare as declare_all
    from learn_features.features.declarations import feature_objects

    config = settings.load()
    declare_all(config)
    _report({"declared": len(feature_objects(config))}, as_json)


def import_folder(
    folder: Annotated[Path, typer.Argument(help="Folder with items and interactions tables.")],
    as_json: AsJson = False,
) -> None:
    """Take a data set into the offline log; what is there already is left out."""
    from learn_features.data.tables import read_dataset
    from learn_features.features.dataset_import import import_dataset

    config = settings.load()
    dataset = read_dataset(folder, config.data)
    for warning in dataset.warnings:
        typer.echo(f"warning: {warning}", err=True)
    _report(import_dataset(config, dataset)._asdict(), as_json)


def init(as_json: AsJson = False) -> None:
    """Say once that this system starts empty: declare its features and let the consumers start."""
    from learn_features.errors import CheckpointError
    from learn_features.features.backfill import mark_filled
    from learn_features.features.declarations import declare as declare_all
    from learn_features.features.offline_log import OfflineLog
    from learn_features.features.rows import open_row_store

    config = settings.load()
    log = OfflineLog(config.offline)
    if log.interactions().height:
        raise CheckpointError(
            f"{config.offline}: the offline log has interactions, so nothing starts empty here; "
            f"run learn-features backfill SPACE instead"
        )
    declare_all(config)
    rows = open_row_store(config)
    with contextlib.closing(rows):
        mark_filled(rows)
    _report({"state": config.state, "filled": True}, as_json)


def backfill(space: SpaceId, window_days: Window = 1, as_json: AsJson = False) -> None:
    """Embed the whole offline log into a space and bring it online; newer online rows stay."""
    from learn_features.features.backfill import backfill as backfill_space

    with _progress("embedding users") as progress:
        report = backfill_space(settings.load(), space, window_days=window_days, progress=progress)
    _report(report.as_dict(), as_json)


def _document(config: "Config") -> Any:
    from learn_features.release.deployment import DeploymentStore

    return DeploymentStore(config.deployment).read()


@contextlib.contextmanager
def _refresher(config: "Config") -> Iterator[Callable[[str], None] | None]:
    """Sends refreshes where consumers have run; None where nothing consumes."""
    from learn_features.features.roll_out import is_consumed

    if not is_consumed(config):
        yield None
        return
    from learn_features.streaming.producers import Producer

    with Producer(config) as producer:
        yield producer.refresh


@contextlib.contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import Progress

    with Progress(console=open_console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _report_slot(document: Any, slot: str, as_json: bool) -> None:
    now = document.slots[slot]
    _report(
        {"slot": slot, "ranker": now.ranker, "previous": now.previous, "version": document.version}, as_json
    )


def _report(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    from rich.table import Table

    table = Table(show_header=False)
    for name, value in values.items():
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
        shown = f"{value:,.1f}" if isinstance(value, float) else shown
        shown = ", ".join(f"{k}: {v:,}" for k, v in value.items()) if isinstance(value, dict) else shown
        table.add_row(name.replace("_", " "), str(shown if shown not in ([], None) else "–"))
    _print(table)


def _print(table: Any) -> None:
    open_console().print(table)
