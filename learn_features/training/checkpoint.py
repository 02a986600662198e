"""What a killed run goes on from: `<run>/checkpoint/`, there until `run.json` is written.

state.json                  what was trained (inputs), the tensors (name, digest)
tensors-<n>.safetensors     weights, residuals, averages, optimiser moments, best weights; where the training
                            stands (counters, JSON in the metadata), so that one digest covers both

`state.json` is renamed last and names the tensors it belongs to: at every moment one whole checkpoint
is there, or none.
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from torch import Tensor

from learn_features.contracts.run_files import CHECKPOINT_FOLDER, CHECKPOINT_STATE_FILE
from learn_features.durable import sha256_of, whole, write_text
from learn_features.errors import BundleError, ConfigError, problems
from learn_features.towers.tensor_file import disk_errors
from learn_features.training.identity import differences

FORMAT = 10
ARCHITECTURE = "towers"
"""The part of the inputs that says what the tensors are."""
COUNTERS = "counters"
"""Key of the tensors' metadata."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint that was read; `tensors` by name, on the CPU."""

    counters: dict[str, Any]
    tensors: dict[str, Tensor]


class _State(BaseModel):
    """state.json."""

    inputs: dict[str, Any]
    number: int
    tensors: str
    sha256: str


class Checkpoints:
    """Checkpoints of one run.

    Args:
        run_folder: the run's.
        inputs: what decides what comes out, by name; a checkpoint where these are others is refused.
        every_seconds: time between two at least; 0: after every step. At the end of an epoch always.
    """

    def __init__(self, run_folder: Path, inputs: Mapping[str, Any], every_seconds: float) -> None:
        self.folder = run_folder / CHECKPOINT_FOLDER
        self._inputs = json.loads(json.dumps({"format": FORMAT, **inputs}))
        self._every_seconds = every_seconds
        self._last = time.monotonic()
        self._number = 0

    def due(self) -> bool:
        """Whether the time between two checkpoints is over."""
        return time.monotonic() - self._last >= self._every_seconds

    def save(self, counters: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Put down a checkpoint in place of the one before."""
        from safetensors.torch import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        self._number += 1
        name = f"tensors-{self._number:08d}.safetensors"
        whole_tensors = {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}
        with whole(self.folder / name) as aside, disk_errors(self.folder / name):
            save_file(whole_tensors, aside, {COUNTERS: json.dumps(dict(counters))})
        digest = sha256_of(self.folder / name)
        state = _State(inputs=self._inputs, number=self._number, tensors=name, sha256=digest)
        write_text(self.folder / CHECKPOINT_STATE_FILE, json.dumps(state.model_dump()))
        for file in self.folder.glob("*tensors-*"):
            if file.name != name:
                file.unlink()
        self._last = time.monotonic()

    def check(self) -> None:
        """Raises what `load` does for a checkpoint of other inputs."""
        self._state()

    def load(self) -> Saved | None:
        """The checkpoint of these inputs; None if there is none.

        Raises `BundleError` if it is of another architecture or damaged, `ConfigError` if it is of
        other inputs: two half runs are never joined to one.
        """
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_file

        state = self._state()
        if state is None:
            return None
        self._number = state.number
        tensors_file = self.folder / Path(state.tensors).name
        try:
            if sha256_of(tensors_file) == state.sha256:
                with safe_open(tensors_file, "pt") as saved:
                    counters = json.loads(saved.metadata()[COUNTERS])
                return Saved(counters, load_file(tensors_file))
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{tensors_file}: cannot be read ({error}); start anew with --fresh") from None
        raise BundleError(f"{tensors_file}: is damaged (its digest is another); start anew with --fresh")

    def _state(self) -> _State | None:
        """What lies beside the tensors, if it is of these inputs; None without a checkpoint."""
        file = self.folder / CHECKPOINT_STATE_FILE
        if not file.exists():
            return None
        try:
            state = _State.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            reason = str(error) if isinstance(error, OSError) else "; ".join(problems(error, "state"))
            raise BundleError(f"{file}: is no checkpoint ({reason}); start anew with --fresh") from None
        self._compare(state.inputs)
        return state

    def clear(self) -> None:
        """Remove the checkpoint, if any; the state first, so that half of it is none."""
        (self.folder / CHECKPOINT_STATE_FILE).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _compare(self, theirs: Mapping[str, Any]) -> None:
        if theirs.get("format") != FORMAT:
            raise BundleError(
                f"{self.folder}: is a checkpoint of another release (format {theirs.get('format')}, here"
                f" {FORMAT}); go on with that one, start anew with --fresh, or train into another folder"
            )
        theirs = {name: theirs.get(name) for name in self._inputs}
        part = ARCHITECTURE
        if differing := list(differences({part: theirs.get(part)}, {part: self._inputs.get(part)})):
            raise BundleError(self._is_of("architecture", differing))
        if differing := list(differences(theirs, self._inputs)):
            raise ConfigError(self._is_of("training", differing))

    def _is_of(self, another: str, differing: list[str]) -> str:
        return (
            f"{self.folder}: is a checkpoint of another {another} ({', '.join(differing[:5])}); train with"
            " its settings to go on, with --fresh to start anew, or into another folder"
        )


def check_tensors(saved: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """`BundleError` unless every one of `own` tensors is in a checkpoint, in its shape and type."""
    for name, tensor in own.items():
        found = saved.get(name)
        if found is None or found.shape != tensor.shape or found.dtype != tensor.dtype:
            theirs = "missing" if found is None else f"{tuple(found.shape)} {found.dtype}"
            raise BundleError(
                f"checkpoint of another architecture: {name} is {theirs} where {tuple(tensor.shape)}"
                f" {tensor.dtype} is needed; start anew with --fresh"
            )
