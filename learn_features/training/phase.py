"""The phases of a training, and where one stands: JSON, beside its tensors."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from learn_features.training.curves import Epoch, Point
from learn_features.training.demand import Demand
from learn_features.training.new_items import NewItems
from learn_features.training.placing import Placing
from learn_features.training.recipe import Recipe

TUNE, FINAL = "tune", "final"


@dataclass(frozen=True)
class Phase:
    """One run over epochs.

    name, number     number goes into every random choice
    epochs           how many
    schedule_epochs  length of the learning-rate schedule in epochs; more than `epochs` where it ends early
    peak             highest learning rate
    rate             the recipe's field that says so
    """

    name: str
    number: int
    epochs: int
    schedule_epochs: int
    peak: float
    rate: str


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
    placing: Placing = field(default_factory=Placing)
    """What the phase found about where items stand."""
    history: list[Epoch] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, saved: dict[str, Any]) -> "Counters":
        """From `as_dict`, through JSON."""
        counters = cls(**saved)
        new_items, demand = saved["placing"]["new_items"], saved["placing"]["demand"]
        counters.placing = Placing(NewItems(**new_items), Demand(**demand))
        counters.history = [Epoch(**line) for line in saved["history"]]
        counters.points = [Point(**line) for line in saved["points"]]
        return counters


def next_phase(
    recipe: Recipe, ended: Sequence[Counters], epochs_found: int | None, *, warm: bool
) -> Phase | None:
    """What comes after the phases that have `ended`, None if nothing does.

    First `TUNE`, which finds the number of epochs, then `FINAL`, as the recipe's `final` says; where the
    epochs have been found before, `FINAL` and no more. `warm`: from a parent's weights.
    """
    rate = "final_learning_rate" if warm else "learning_rate"
    peak = getattr(recipe, rate)
    if epochs_found is not None:
        return None if ended else Phase(FINAL, 1, epochs_found, recipe.epochs, peak, rate)
    if not ended:
        return Phase(TUNE, 0, recipe.epochs, recipe.epochs, peak, rate)
    if len(ended) > 1 or not recipe.ends_on_validation:
        return None
    if recipe.final == "refit":
        return Phase(FINAL, 1, ended[0].best_epoch, recipe.epochs, peak, rate)
    peak = recipe.final_learning_rate
    return Phase(FINAL, 1, recipe.final_epochs, recipe.final_epochs, peak, "final_learning_rate")
