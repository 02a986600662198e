"""`consume`, `click`, `upload`, and the groups `topics` and `dead-letters`."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from learn_features import config as settings
from learn_features.cli import play
from learn_features.console import open_console

if TYPE_CHECKING:
    from learn_features.cli.movement import Place

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait until it is readable.", min=0)]
TOP = 10


def register(app: typer.Typer) -> None:
    app.command()(consume)
    app.command()(click)
    app.command()(upload)
    topics = typer.Typer(no_args_is_help=True, help="The topics of the streams.")
    topics.command("create")(create)
    topics.command("adopt")(adopt)
    app.add_typer(topics, name="topics")
    letters = typer.Typer(no_args_is_help=True, help="Records that could not be used.")
    letters.command("list")(list_letters)
    app.add_typer(letters, name="dead-letters")
    play.register(app)


def consume(
    kind: Annotated[Literal["items", "interactions"], typer.Argument(help="What to consume.")],
    instance: Annotated[
        str, typer.Option(help="Name of this member; each running one needs its own, kept over restarts.")
    ] = "0",
) -> None:
    """Run a consumer until SIGTERM or Ctrl-C: `items` → item vectors, `interactions` → user vectors."""
    import logging
    import signal
    import threading

    from learn_features.observability import configure_logging
    from learn_features.streaming.consumer import run_item_embedder, run_user_updater

    configure_logging()
    logging.getLogger("kafka").setLevel(logging.ERROR)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run = run_item_embedder if kind == "items" else run_user_updater
    run(settings.load(), stop, instance)


def click(
    user: Annotated[str, typer.Argument(help="User id.")],
    items: Annotated[list[str], typer.Argument(help="Item ids, in the order of the clicks.")],
    wait: Wait = 30,
    as_json: AsJson = False,
) -> None:
    """Send clicks of a user and show the user's top items before and after."""
    from learn_features.cli.movement import Movement, seconds_until
    from learn_features.demo.clicks import click as clicked
    from learn_features.streaming.producers import Producer

    config = settings.load()
    movement = Movement(config)
    before = movement.ranking(movement.user_vector(user), TOP)
    with Producer(config) as producer:
        records = [clicked(movement.space.history, user, item) for item in items]
        for record in records:
            producer.interaction(record)
    event_ids = [record.identified for record in records[-movement.space.history.max_length :]]
    seconds = seconds_until(
        lambda: all(movement.has_entry(user, event) for event in event_ids), wait, f"user {user}'s click"
    )
    after = movement.ranking(movement.user_vector(user), TOP)
    if as_json:
        typer.echo(json.dumps({"user_id": user, "seconds": round(seconds, 3), **_places(before, after)}))
        return
    names = ", ".join(movement.title(item) or f"{item} (unknown item)" for item in items)
    typer.echo(f"{user} clicked {names}: readable after {seconds:.2f} s")
    _table(("before", before), ("after", after))


def upload(
    item_id: Annotated[str, typer.Argument(help="Item id; a known one is changed.")],
    title: Annotated[str | None, typer.Option(help="Title; needed unless --delete.")] = None,
    category: Annotated[str | None, typer.Option()] = None,
    brand: Annotated[str | None, typer.Option()] = None,
    price: Annotated[float | None, typer.Option()] = None,
    keywords: Annotated[str | None, typer.Option()] = None,
    attributes: Annotated[str | None, typer.Option()] = None,
    description: Annotated[str | None, typer.Option()] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the item.")] = False,
    wait: Wait = 30,
    as_json: AsJson = False,
) -> None:
    """Upload, change or delete an item and show which items are nearest to it now."""
    from learn_features.cli.movement import Movement, seconds_until
    from learn_features.contracts import columns as c
    from learn_features.contracts.events import ItemRecord
    from learn_features.errors import ConfigError
    from learn_features.streaming.producers import Producer

    if not title and not delete:
        raise ConfigError("an item needs --title; --delete deletes it")
    config = settings.load()
    movement = Movement(config)
    before = movement.revision(c.ITEM_ID, item_id)
    with Producer(config) as producer:
        if delete:
            producer.delete_item(item_id)
        else:
            producer.item(
                ItemRecord(
                    item_id=item_id,
                    title=title or "",
                    category=category,
                    brand=brand,
                    price=price,
                    keywords=keywords,
                    attributes=attributes,
                    description=description,
                )
            )
    seconds = seconds_until(
        lambda: movement.revision(c.ITEM_ID, item_id) > before, wait, f"item {item_id}'s embedding"
    )
    near = movement.ranking(movement.item_vector(item_id), TOP, without=item_id)
    if as_json:
        places = [place._asdict() for place in near]
        typer.echo(json.dumps({"item_id": item_id, "seconds": round(seconds, 3), "nearest": places}))
        return
    typer.echo(f"{item_id} {'deleted' if delete else 'uploaded'}: readable after {seconds:.2f} s")
    if near:
        _table(("nearest items", near))


def create(
    partitions: Annotated[int, typer.Option(help="Partitions of each topic.", min=1)] = 4,
    replication: Annotated[int, typer.Option(help="Replicas; -1: the cluster's default.")] = -1,
    as_json: AsJson = False,
) -> None:
    """Create the topics and their dead-letter topics where they are missing."""
    from learn_features.streaming.topics import create_topics

    created = create_topics(settings.load(), partitions, replication)
    typer.echo(json.dumps({"created": created}) if as_json else "\n".join(created) or "all there already")


def adopt(
    lost: Annotated[
        bool, typer.Option("--lost", help="Also where records were deleted before they were read.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Accept topics that were deleted and created anew: their partitions are read from the start."""
    from learn_features.features.rows import open_row_store
    from learn_features.streaming.checkpoints import Checkpoints
    from learn_features.streaming.topics import TOPICS, topic_ids

    config = settings.load()
    gone = Checkpoints(open_row_store(config)).adopt(topic_ids(config.kafka, TOPICS), lost)
    typer.echo(json.dumps({"adopted": gone}) if as_json else "\n".join(gone) or "nothing to adopt")


def list_letters(
    topic: Annotated[str, typer.Argument(help="items, interactions or user_refresh.")] = "interactions",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List records that could not be used: where they came from and why."""
    from itertools import islice

    from learn_features.streaming.dead_letters import read_dead_letters

    letters = list(islice(read_dead_letters(settings.load(), topic), limit))
    if not letters and not as_json:
        typer.echo(f"no dead letters of {topic}")
    for letter in letters:
        value = (letter.value or b"").decode(errors="replace")
        if as_json:
            key = None if letter.key is None else letter.key.decode(errors="replace")
            typer.echo(json.dumps({**letter._asdict(), "key": key, "value": value}))
        else:
            typer.echo(
                f"{letter.topic}-{letter.partition}@{letter.offset}: {letter.reason}\n    {value[:200]}"
            )


def _places(before: "list[Place]", after: "list[Place]") -> dict[str, Any]:
    return {"before": [p._asdict() for p in before], "after": [p._asdict() for p in after]}


def _table(*columns: "tuple[str, list[Place]]") -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("", justify="right")
    for heading, _ in columns:
        table.add_column(heading, max_width=46, no_wrap=True)
        table.add_column("score", justify="right")
    for place in range(max(len(places) for _, places in columns)):
        cells = [str(place + 1)]
        for _, places in columns:
            row = places[place] if place < len(places) else None
            cells += [row.title or row.item_id, f"{row.score:.2f}"] if row else ["–", ""]
        table.add_row(*cells)
    open_console(highlight=False).print(table)
