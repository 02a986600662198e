"""What the report shows beyond the figures: series for plots and lists with titles."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from learn_features.durable import write_text


@dataclass(frozen=True)
class Recommendation:
    """One place of a top-10."""

    item_id: str
    title: str
    category: str | None
    score: float


@dataclass
class Story:
    """Plain lists, so that a report can be made again from its file."""

    losses: list[float] = field(default_factory=list)
    """Training loss an epoch."""
    phases: list[str] = field(default_factory=list)
    """Phase of each epoch: `tune` beside validation, `final` with the validation interactions in."""
    validation: list[float] = field(default_factory=list)
    """Validation NDCG@10 an epoch; may be empty."""
    map_points: list[tuple[float, float]] = field(default_factory=list)
    map_groups: list[str] = field(default_factory=list)
    """Per point its category; empty text where there is none."""
    item_seconds: list[float] = field(default_factory=list)
    user_seconds: list[float] = field(default_factory=list)
    user_id: str = ""
    clicked: list[Recommendation] = field(default_factory=list)
    before: list[Recommendation] = field(default_factory=list)
    after: list[Recommendation] = field(default_factory=list)
    timeline: list[tuple[int, str, int]] = field(default_factory=list)
    """(tenths of a second, space, reads) while the slot moved."""
    moves: list[tuple[float, str]] = field(default_factory=list)
    """(seconds, what happened to the slot)."""

    def write(self, path: Path) -> None:
        write_text(path, json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "Story":
        values = json.loads(path.read_text())
        for key in ("clicked", "before", "after"):
            values[key] = [Recommendation(**place) for place in values[key]]
        return cls(**values)
