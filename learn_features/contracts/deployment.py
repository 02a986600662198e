"""The deployment document: which spaces, ranker versions, slots and experiments are in force.

`deployment/00000042.json`; every version is a new file, created only if absent, and the highest is in
force. A document is immutable: the methods return the next version's content.
"""

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from learn_features.contracts import identity, names
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SpaceState(StrEnum):
    FILLING = "filling"
    READY = "ready"
    RETIRED = "retired"


class Space(_Part):
    """What readers and writers of a space's features need, so that none opens the bundle for it."""

    state: SpaceState
    bundle: str
    """URI of the bundle, relative to the state folder where it lies below it."""
    encoder: EncoderSpec
    history: HistoryRule
    dimension: int
    data_cutoff: datetime


class RankerVersion(_Part):
    """An immutable ranker: a FeatureService of the same name, its artefact, and its one space."""

    kind: Literal["dot-product", "popularity"]
    space_id: str | None = None
    """None only for rankers that read no embedding (`popularity`)."""
    artefact: str | None = None


class Slot(_Part):
    """A name that ranking code reads; promote and rollback move it, nothing else."""

    ranker: str
    previous: str | None = None


class Experiment(_Part):
    """Arms name ranker versions, never slots. Shares are of all users and sum to at most 1."""

    arms: dict[str, str]
    shares: dict[str, float]
    salt: str
    running: bool = True

    @model_validator(mode="after")
    def _arms_have_shares(self) -> "Experiment":
        if not self.arms or set(self.arms) != set(self.shares):
            raise ValueError(f"arms {sorted(self.arms)} and shares {sorted(self.shares)} must agree")
        if not all(share > 0 for share in self.shares.values()) or sum(self.shares.values()) > 1 + 1e-9:
            raise ValueError(f"shares {self.shares} must be positive and sum to at most 1")
        return self


class DeploymentDocument(_Part):
    """One version of the deployment. Version 0, empty, is what is in force before the first file."""

    version: int = Field(ge=0)
    created_at: datetime
    spaces: dict[str, Space] = {}
    rankers: dict[str, RankerVersion] = {}
    slots: dict[str, Slot] = {}
    experiments: dict[str, Experiment] = {}

    @model_validator(mode="after")
    def _references_exist(self) -> "DeploymentDocument":
        for name, ranker in self.rankers.items():
            if name != names.ranker_version(ranker.kind, ranker.space_id):
                raise ValueError(f"ranker {name} must be called after its kind and space")
            if ranker.space_id is not None and ranker.space_id not in self.spaces:
                raise ValueError(f"ranker {name} reads unknown space {ranker.space_id}")
        for name, slot in self.slots.items():
            for ranker_name in filter(None, (slot.ranker, slot.previous)):
                if ranker_name not in self.rankers:
                    raise ValueError(f"slot {name} names unknown ranker {ranker_name}")
        for name, experiment in self.experiments.items():
            for ranker_name in experiment.arms.values():
                if ranker_name not in self.rankers:
                    raise ValueError(f"experiment {name} names unknown ranker {ranker_name}")
        for space_id in self.live_spaces:
            if self.spaces[space_id].state is SpaceState.RETIRED:
                raise ValueError(f"space {space_id} is retired but a slot or experiment still reads it")
        for name, slot in self.slots.items():
            read = self.rankers[slot.ranker].space_id
            if read is not None and self.spaces[read].state is not SpaceState.READY:
                raise ValueError(f"slot {name} reads space {read}, which is not ready")
        return self

    @property
    def embedded_spaces(self) -> dict[str, Space]:
        """Spaces that every event is embedded into: filling and ready."""
        return {k: v for k, v in self.spaces.items() if v.state is not SpaceState.RETIRED}

    @property
    def live_spaces(self) -> set[str]:
        """Spaces reached from a slot, its previous value or a running experiment; only these block."""
        rankers = [r for slot in self.slots.values() for r in (slot.ranker, slot.previous) if r]
        for experiment in self.experiments.values():
            if experiment.running:
                rankers.extend(experiment.arms.values())
        return {space for r in rankers if (space := self.rankers[r].space_id) is not None}

    @property
    def history_rules(self) -> dict[str, HistoryRule]:
        """Rule id → rule of every embedded space."""
        return {space.history.id: space.history for space in self.embedded_spaces.values()}

    def to_json(self) -> bytes:
        """The file's bytes: canonical JSON with a digest of itself."""
        body = self.model_dump(mode="json")
        digest = hashlib.sha256(identity.canonical_json(body)).hexdigest()
        return json.dumps({**body, "sha256": digest}, indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def from_json(cls, raw: bytes) -> "DeploymentDocument":
        """The document in `raw`; `ValueError` if it was altered or is not one."""
        body = json.loads(raw)
        if not isinstance(body, dict):
            raise ValueError("not a JSON object")
        digest = body.pop("sha256", None)
        if digest != hashlib.sha256(identity.canonical_json(body)).hexdigest():
            raise ValueError("its sha256 does not match its content")
        return cls.model_validate(body)
