"""What a training run leaves in its folder.

weights.safetensors   both towers
run.json              TrainingRun: what they are and how they came to be
metrics.jsonl         one line an epoch

`run.json` is removed first and written last: a folder that has one is complete.
"""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec
from learn_features.errors import BundleError
from learn_features.towers.config import TowerConfig
from learn_features.training.recipe import Recipe

RUN_FILE = "run.json"
WEIGHTS_FILE = "weights.safetensors"
METRICS_FILE = "metrics.jsonl"


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


def write_metrics(folder: Path, lines: list[dict[str, Any]]) -> None:
    write_whole(folder / METRICS_FILE, "".join(json.dumps(line) + "\n" for line in lines))


def write_whole(file: Path, text: str) -> None:
    """Write `text` under a temporary name, sync, rename."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with temporary.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
