"""A small data set on disk, for trainings with the real text encoder."""

from datetime import UTC, datetime, timedelta

import polars as pl

from learn_features.data.tables import write_dataset

KINDS = ("garden hose", "guitar string", "running shoe", "coffee grinder")
WORDS = ("red", "steel", "small", "old", "long", "blue", "wide", "soft", "new")
NOW = datetime(2024, 5, 1, tzinfo=UTC)


def write_data(folder, users: int = 24, length: int = 8):
    """Users who stay with one kind of thing, an interaction an hour; one more with a single one."""
    names = [f"{word} {kind}" for kind in KINDS for word in WORDS]
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(len(names))], "title": names})
    rows = [
        (
            f"u{user}",
            f"i{(user % 4) * len(WORDS) + (user // 4 + step * 2) % len(WORDS)}",
            NOW + timedelta(hours=step, minutes=user),
        )
        for user in range(users)
        for step in range(length)
    ]
    rows.append(("lonely", "i3", NOW))
    interactions = pl.DataFrame(
        rows,
        schema={"user_id": pl.String, "item_id": pl.String, "event_timestamp": pl.Datetime("us", "UTC")},
        orient="row",
    )
    write_dataset(folder, items, interactions)
