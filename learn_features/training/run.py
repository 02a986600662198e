"""What a training run leaves in its folder.

weights.safetensors          both towers
item_residuals.safetensors   what is known of trained items beside their content, where towers take it
run.json                     TrainingRun: what they are and how they came to be
metrics.jsonl                one line an epoch, and one for every few steps
curves.png                   the same as a plot
checkpoint/                  while it trains: what a killed run goes on from

`run.json` is removed first and written last: a folder that has one is complete.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec
from learn_features.errors import BundleError
from learn_features.towers.config import TowerConfig
from learn_features.training.curves import Epoch, Point
from learn_features.training.recipe import Recipe

RUN_FILE = "run.json"
WEIGHTS_FILE = "weights.safetensors"
METRICS_FILE = "metrics.jsonl"
CONTENT_FILE = ".content.npy"
"""The catalogue's content vectors, memory-mapped; there while it trains."""


class TrainingRun(BaseModel):
    """`run.json`. The first three parts and the weights make the embedding space."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderSpec
    history: HistoryRule
    towers: TowerConfig
    preset: str
    recipe: Recipe
    seed: int
    split: str
    data_cutoff: datetime
    """Newest event that training or evaluation has seen."""
    parent: str | None = None
    """Space id of the bundle these towers started from."""
    users: int
    users_skipped: int
    """Users with fewer than two interactions at different times: nothing to learn from."""
    items: int
    interactions: int
    epochs: int
    best_epoch: int
    loss: float
    """Mean of the best epoch."""
    validation: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class TrainReport:
    """What came out; the rest stands in `run.json`."""

    run_folder: str
    epochs: int
    best_epoch: int
    loss: float
    validation: dict[str, float]
    users: int
    users_skipped: int
    parent: str | None
    seconds: float
    resumed_at: str | None
    """Phase and step that a checkpoint went on from; None: trained in one go."""

    @classmethod
    def of(cls, run: TrainingRun, folder: Path, resumed_at: str | None) -> "TrainReport":
        return cls(
            run_folder=str(folder),
            epochs=run.epochs,
            best_epoch=run.best_epoch,
            loss=run.loss,
            validation=run.validation,
            users=run.users,
            users_skipped=run.users_skipped,
            parent=run.parent,
            seconds=run.seconds,
            resumed_at=resumed_at,
        )


def write_run(folder: Path, run: TrainingRun) -> None:
    write_whole(folder / RUN_FILE, run.model_dump_json(indent=1) + "\n")


def read_run(folder: str | Path) -> TrainingRun:
    """The run in `folder`; `BundleError` if it is not there, unfinished or not valid."""
    file = Path(folder) / RUN_FILE
    try:
        return TrainingRun.model_validate_json(file.read_bytes())
    except OSError as error:
        raise BundleError(f"{file}: cannot be read ({error.strerror}); train into this folder") from None
    except ValidationError as error:
        raise BundleError(f"{file}: is not a training run of this release: {error}") from None


def write_metrics(folder: Path, epochs: Sequence[Epoch], points: Sequence[Point]) -> None:
    """`metrics.jsonl`: first the lines with `epoch`, then those with `step`."""
    lines = [*map(asdict, epochs), *map(asdict, points)]
    write_whole(folder / METRICS_FILE, "".join(json.dumps(line) + "\n" for line in lines))


def write_whole(file: Path, text: str) -> None:
    """Write `text` under a temporary name, sync, rename."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with temporary.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
