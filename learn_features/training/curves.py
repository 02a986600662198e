"""What a run shows of itself while and after it trains: epochs, losses, a plot."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from learn_features.durable import whole

SHOWN = "ndcg_at_10"
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
    """Loss by step and validation NDCG@10 by epoch, as a PNG; written whole."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    quality = axes.twinx()
    before = 0
    for phase in dict.fromkeys(epoch.phase for epoch in epochs):
        own = [epoch for epoch in epochs if epoch.phase == phase]
        curve = [point for point in points if point.phase == phase]
        axes.plot([before + point.step for point in curve], [point.loss for point in curve], label=phase)
        ends = [before + sum(e.steps for e in own[: place + 1]) for place in range(len(own))]
        axes.plot(ends, [epoch.loss for epoch in own], ".", color="grey")
        judged = [
            (end, epoch.validation[SHOWN])
            for end, epoch in zip(ends, own, strict=True)
            if SHOWN in epoch.validation
        ]
        if judged:
            quality.plot(*zip(*judged, strict=True), "o--", color="tab:green", markersize=4)
        before = ends[-1]
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats)")
    axes.legend(loc="upper right")
    quality.set_ylabel("validation NDCG@10")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    with whole(file) as aside:
        aside.write_bytes(drawn.getvalue())
