"""What a phase of training is, and where it stands; JSON, beside its tensors."""

from dataclasses import asdict, dataclass, field
from typing import Any

from learn_features.training.curves import Epoch, Point
from learn_features.training.new_items import NewItems


@dataclass(frozen=True)
class Phase:
    """One run over epochs.

    name, number     number goes into every random choice
    epochs           how many
    schedule_epochs  length of the learning-rate schedule in epochs; more than `epochs` where it ends early
    peak             highest learning rate
    """

    name: str
    number: int
    epochs: int
    schedule_epochs: int
    peak: float


@dataclass
class Counters:
    """Where a phase stands, beside its tensors; JSON."""

    step: int = 0
    """Optimiser steps so far."""
    in_epoch: int = 0
    """Of them in the epoch that has begun."""
    loss_sum: float = 0.0
    """Over `in_epoch`."""
    first_loss: float | None = None
    """Of the phase's first step."""
    point_sum: float = 0.0
    point_steps: int = 0
    seconds: float = 0.0
    """Spent on the epoch that has begun."""
    best_score: float | None = None
    best_epoch: int = 0
    """1-based; 0: nothing was validated."""
    new_items: NewItems = field(default_factory=NewItems)
    """What the phase found about them."""
    history: list[Epoch] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, saved: dict[str, Any]) -> "Counters":
        """From `as_dict`, through JSON."""
        counters = cls(**saved)
        counters.new_items = NewItems(**saved["new_items"])
        counters.history = [Epoch(**line) for line in saved["history"]]
        counters.points = [Point(**line) for line in saved["points"]]
        return counters
