"""Small tables that are right, to be broken one thing at a time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

T0 = datetime(2025, 3, 1, 10, 0, tzinfo=UTC)

ITEMS: dict[str, Any] = {
    "item_id": ["i1", "i2", "i3"],
    "title": ["Red tent", "Blue mug", "Lamp"],
    "category": ["Outdoor", None, "Home"],
    "price": [99.0, 4.5, None],
}
LOG: dict[str, Any] = {
    "user_id": ["u1", "u1", "u2", "u2"],
    "item_id": ["i1", "i2", "i3", "i1"],
    "event_timestamp": [T0, T0 + timedelta(minutes=1), T0, T0 + timedelta(hours=1)],
}

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Writes both tables, with columns replaced (None: left out), and gives the folder."""

    def write(items: dict[str, Any] | None = None, log: dict[str, Any] | None = None) -> Path:
        for name, base, changes in (("items", ITEMS, items), ("interactions", LOG, log)):
            columns = {k: v for k, v in {**base, **(changes or {})}.items() if v is not None}
            pl.DataFrame(columns, strict=False).write_parquet(tmp_path / f"{name}.parquet")
        return tmp_path

    return write
