"""What a training run leaves in its folder.

weights.safetensors          both towers
item_residuals.safetensors   what is known of trained items beside their content, where towers take it
run.json                     TrainingRun: what they are and how they came to be
metrics.jsonl                one line an epoch, and one for every few steps
curves.png                   the same as a plot
checkpoint/                  while it trains: what a killed run goes on from

`run.json` is removed first and written last: a folder that has one is complete. A lock on the folder keeps a
second training out.
"""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import RESIDUALS_FILE, EncoderSpec
from learn_features.contracts.run_files import (
    CHECKPOINT_FOLDER,
    CHECKPOINT_STATE_FILE,
    CURVES_FILE,
    EVALUATION_FILE,
    METRICS_FILE,
    RUN_FILE,
    RUN_WEIGHTS_FILE,
)
from learn_features.durable import write_text
from learn_features.errors import BundleError, ConfigError, problems
from learn_features.towers.config import TowerConfig
from learn_features.training.curves import Epoch, Point
from learn_features.training.recipe import Recipe

OUTPUTS = (RUN_WEIGHTS_FILE, RESIDUALS_FILE, METRICS_FILE, CURVES_FILE)
"""What a run leaves beside `run.json`."""

log = logging.getLogger(__name__)


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
    trained_until: datetime
    """Newest event that the towers were trained on."""
    parent: str | None = None
    """Space id of the bundle or run that these towers started from."""
    users: int
    users_skipped: int
    """Users without a next item to learn from: with fewer than two interactions, or, where moments are not
    learnt from, with none at different times."""
    items: int
    interactions: int
    epochs: int
    best_epoch: int
    loss: float
    """Mean of the best epoch."""
    validation: dict[str, float]
    validation_flatters: bool = False
    """Whether the parent was trained on some of the validation cases."""
    seconds: float
    digests: dict[str, str | None]
    """What it was trained on: `data` (`Split.digest`), `content` and `parent`."""
    weights_sha256: str
    """Over the tensors of weights and residuals."""

    def inputs(self) -> dict[str, Any]:
        """What decided the outcome, as `identity.training_inputs` has it, less the machine."""
        parts = self.model_dump(mode="json", include={"towers", "recipe", "seed", "encoder", "history"})
        return {**parts, **self.digests}


@dataclass(frozen=True)
class TrainReport:
    """What came out; the rest stands in `run.json`."""

    run_folder: str
    epochs: int
    best_epoch: int
    loss: float
    validation: dict[str, float]
    validation_flatters: bool
    users: int
    users_skipped: int
    parent: str | None
    seconds: float
    resumed_at: str | None
    """Phase and step that a checkpoint went on from; None: trained in one go."""
    trained_before: bool = False
    """The folder held this very training already, and nothing was done."""

    @classmethod
    def of(
        cls, run: TrainingRun, folder: Path, resumed_at: str | None, *, trained_before: bool = False
    ) -> "TrainReport":
        return cls(
            run_folder=str(folder),
            epochs=run.epochs,
            best_epoch=run.best_epoch,
            loss=run.loss,
            validation=run.validation,
            validation_flatters=run.validation_flatters,
            users=run.users,
            users_skipped=run.users_skipped,
            parent=run.parent,
            seconds=run.seconds,
            resumed_at=resumed_at,
            trained_before=trained_before,
        )


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Within it no other training may write to `folder`; `ConfigError` if one does. Ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(
            f"{folder}: another training writes to it; wait until it ends, or train into another folder"
        ) from None
    except OSError as error:  # NFS, say, locks no folders
        log.warning("%s: cannot be locked (%s); start no second training there", folder, error.strerror)
    try:
        yield
    finally:
        os.close(descriptor)


def discard(folder: Path) -> None:
    """Drop the run in `folder`, finished or not, and what is known of it: checkpoint and `run.json` first."""
    (folder / CHECKPOINT_FOLDER / CHECKPOINT_STATE_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / CHECKPOINT_FOLDER, ignore_errors=True)
    for name in (RUN_FILE, EVALUATION_FILE, *OUTPUTS):
        (folder / name).unlink(missing_ok=True)


def write_run(folder: Path, run: TrainingRun) -> None:
    write_text(folder / RUN_FILE, run.model_dump_json(indent=1) + "\n")


def read_run(folder: str | Path) -> TrainingRun:
    """The run in `folder`; `BundleError` if it is not there, not finished or not valid."""
    file = Path(folder) / RUN_FILE
    try:
        return TrainingRun.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        from learn_features.towers.weights import describe  # which loads torch

        describe(folder)  # an error that says what is there instead
        raise BundleError(f"{folder}: is a bundle, not a training run") from None
    except OSError as error:
        raise BundleError(f"{file}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        wrong = "; ".join(problems(error, "run")[:5])
        raise BundleError(
            f"{file}: is no training run of this release ({wrong}); train again, with --fresh"
        ) from None


def write_metrics(folder: Path, epochs: Sequence[Epoch], points: Sequence[Point]) -> None:
    """`metrics.jsonl`: first the lines with `epoch`, then those with `step`."""
    lines = [*map(asdict, epochs), *map(asdict, points)]
    write_text(folder / METRICS_FILE, "".join(json.dumps(line) + "\n" for line in lines))
