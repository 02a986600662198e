"""The scene with a person in it: three clicks of one taste, and what is recommended before and after."""

import time

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learn_features.contracts import columns as c
from learn_features.demo.clicks import click
from learn_features.demo.console import Step, text_table
from learn_features.demo.context import Context
from learn_features.demo.freshness import Freshness
from learn_features.demo.story import Recommendation
from learn_features.features.reader import FeatureReader
from learn_features.ranking.rankers import rank
from learn_features.streaming.producers import Producer

CLICKS = 3
PLACES = 10
_TITLE_WIDTH = 37


def three_clicks(context: Context, step: Step, producer: Producer, freshness: Freshness) -> None:
    """A user clicks three items unlike what they know; sets the story's lists."""
    user_id, chosen = _cast(context)
    items = context.dataset.items
    history = set(context.dataset.interactions.filter(pl.col(c.USER_ID) == user_id)[c.ITEM_ID])
    hidden = history | {items[c.ITEM_ID][row] for row in chosen}
    reader = FeatureReader(context.config)
    story = context.story
    story.user_id = user_id
    story.clicked = [_recommendation(context, row, 0.0) for row in chosen]
    story.before = _top(context, reader, user_id, hidden)

    vector = freshness.user_vector(user_id)
    begin = time.monotonic()
    records = []
    for place in story.clicked:
        records.append(click(context.config.history, user_id, place.item_id))
        producer.interaction(records[-1])
    producer.flush()
    seconds = freshness.wait_for_user(user_id, {r.identified for r in records}, vector, begin)
    context.ledger.add(records)
    story.after = _top(context, reader, user_id, hidden)

    step.note(
        f"user {user_id} clicks, readable after {seconds:.2f} s: " + "; ".join(p.title for p in story.clicked)
    )
    wanted = {category for place in story.clicked if (category := place.category)}
    rows = [
        (f"    {place}", _cell(before, wanted), _cell(after, wanted))
        for place, (before, after) in enumerate(zip(story.before, story.after, strict=False), start=1)
    ]
    step.table(text_table("", ("    top", "  before", "  after"), rows))
    if wanted:
        now = sum(place.category in wanted for place in story.after)
        then = sum(place.category in wanted for place in story.before)
        step.note(f"● {', '.join(sorted(wanted))}: {then} before, {now} after")


def _top(context: Context, reader: FeatureReader, user_id: str, hidden: set[str]) -> list[Recommendation]:
    items = context.dataset.items
    rows = [row for row, item_id in enumerate(items[c.ITEM_ID]) if item_id not in hidden]
    features = reader.ranking(context.config.slot, user_id, items[c.ITEM_ID].gather(rows).to_list())
    best = rank(features, PLACES)
    return [
        _recommendation(context, rows[position], float(score))
        for position, score in zip(best.positions, best.scores, strict=True)
    ]


def _cast(context: Context) -> tuple[str, list[int]]:
    """A user with a history of middling length, and positions of three similar items unlike it."""
    from learn_features.content.embed import load_content

    items, log = context.dataset.items, context.dataset.interactions
    content = load_content(context.config, items).astype(np.float32)
    content /= np.maximum(np.linalg.norm(content, axis=1, keepdims=True), 1e-6)
    counts = log.group_by(c.USER_ID).len().sort((pl.col("len").cast(pl.Int64) - 12).abs(), c.USER_ID)
    user_id = str(counts[c.USER_ID][context.options.seed % counts.height])
    position_of = {item_id: row for row, item_id in enumerate(items[c.ITEM_ID])}
    mine = log.filter(pl.col(c.USER_ID) == user_id)[c.ITEM_ID]
    history = [position_of[item_id] for item_id in mine if item_id in position_of]
    popularity = dict(log.group_by(c.ITEM_ID).len().iter_rows())
    often = np.array([popularity.get(item_id, 0) for item_id in items[c.ITEM_ID]])
    popular = np.argsort(-often, kind="stable")[: max(50, len(often) // 4)]
    strange = popular[np.argmin((content[popular] @ content[history].T).max(axis=1))]
    return user_id, _neighbours(items, content, int(strange), set(history))


def _neighbours(items: pl.DataFrame, content: NDArray[np.float32], row: int, hidden: set[int]) -> list[int]:
    """`row` and the items nearest to it, of its category where it has one, each with another title."""
    titles, categories = items[c.TITLE], items[c.CATEGORY]
    chosen = [row]
    for candidate in np.argsort(-(content @ content[row]), kind="stable").tolist():
        same = categories[row] is None or categories[candidate] == categories[row]
        if same and candidate not in hidden and titles[candidate] not in [titles[r] for r in chosen]:
            chosen.append(candidate)
        if len(chosen) == CLICKS:
            break
    return chosen


def _recommendation(context: Context, row: int, score: float) -> Recommendation:
    items = context.dataset.items
    return Recommendation(items[c.ITEM_ID][row], items[c.TITLE][row], context.groups[row], score)


def _cell(place: Recommendation, wanted: set[str]) -> str:
    title = place.title if len(place.title) <= _TITLE_WIDTH else place.title[: _TITLE_WIDTH - 1] + "…"
    return f"{'●' if place.category in wanted else ' '} {title}"
