"""What a run shows of itself while and after it trains: epochs, losses, a plot."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from learn_features.durable import whole
from learn_features.evaluation.metrics import SELECTED_BY

POINTS = 200
"""About how many points a phase's loss curve has."""


@dataclass(frozen=True)
class Epoch:
    """One epoch, a line of `metrics.jsonl`."""

    phase: str
    epoch: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    validation: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """Mean loss of the steps since the point before, a line of `metrics.jsonl`."""

    phase: str
    step: int
    loss: float
    learning_rate: float


def draw_curves(epochs: Sequence[Epoch], points: Sequence[Point], file: Path) -> None:
    """Loss by step over validation NDCG@10 by epoch, its best marked, as a PNG; written whole."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    before = 0
    judged: dict[int, float] = {}
    for phase in dict.fromkeys(epoch.phase for epoch in epochs):
        curve = [point for point in points if point.phase == phase]
        upper.plot([before + point.step for point in curve], [point.loss for point in curve], label=phase)
        for epoch in epochs:
            if epoch.phase == phase:
                before += epoch.steps
                if SELECTED_BY in epoch.validation:
                    judged[before] = epoch.validation[SELECTED_BY]
    upper.set_title("training")
    upper.set_ylabel("loss (nats)")
    upper.legend()
    lower.plot(judged.keys(), judged.values(), "o-", color="tab:green", markersize=4)
    if judged:
        best = max(judged, key=judged.__getitem__)
        lower.plot(best, judged[best], "*", color="tab:red", markersize=12, label=f"best, {judged[best]:.4f}")
        lower.legend()
    lower.set_xlabel("optimiser step")
    lower.set_ylabel("validation NDCG@10")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    with whole(file) as aside:
        aside.write_bytes(drawn.getvalue())
