"""`rank`: one user's ranking through the slot's FeatureService."""

import json
from collections.abc import Mapping
from typing import Annotated

import typer

from learn_features import config as settings
from learn_features.console import open_console


def register(app: typer.Typer) -> None:
    app.command("rank")(rank_items)


def rank_items(
    user: Annotated[str, typer.Argument(help="User id.")],
    candidates: Annotated[
        list[str] | None, typer.Argument(help="Item ids; default: every item of the offline log.")
    ] = None,
    slot: Annotated[
        str | None, typer.Option(help="Slot or ranker version; default: `slot` of learn.yaml.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Places.", min=1)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Rank candidates for a user with the features in force."""
    from learn_features.contracts import columns as c
    from learn_features.errors import DataError
    from learn_features.features.offline_log import OfflineLog
    from learn_features.features.reader import FeatureReader
    from learn_features.ranking.rankers import rank

    config = settings.load()
    items = OfflineLog(config.offline).items()
    title_of = dict(zip(items[c.ITEM_ID], items[c.TITLE], strict=True))
    ids = candidates or list(title_of)
    if not ids:
        raise DataError(
            f"{config.offline}: the offline log knows no items; name candidates, or import data first"
        )
    features = FeatureReader(config).ranking(slot or config.slot, user, ids)
    ranked = rank(features, k)
    places = [
        {"item_id": ids[position], "title": title_of.get(ids[position]), "score": round(float(score), 6)}
        for position, score in zip(ranked.positions, ranked.scores, strict=True)
    ]
    answer = {
        "user_id": user,
        "ranker": features.ranker,
        "space_id": features.space_id,
        "personal": ranked.personal,
        "candidates": len(ids),
        "items": places,
    }
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
        return
    _print(answer, places)
    unknown = [item for item, found in zip(ids, features.found, strict=True) if not found]
    if unknown and candidates:
        typer.echo(
            f"{len(unknown)} of {len(ids)} candidates have no features: {', '.join(unknown[:5])}", err=True
        )


def _print(answer: Mapping[str, object], places: list[dict[str, object]]) -> None:
    from rich.table import Table

    table = Table(title=f"user {answer['user_id']} · {answer['ranker']}", title_justify="left", box=None)
    for name in ("", "item", "title", "score"):
        table.add_column(name)
    for number, place in enumerate(places, start=1):
        table.add_row(str(number), str(place["item_id"]), str(place["title"] or ""), f"{place['score']:.4f}")
    console = open_console()
    console.print(table)
    if not answer["personal"]:
        console.print("not personal: this user has no embedding, or the ranker reads none")
