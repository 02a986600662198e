"""Towers that go on from a parent bundle or run, as daily retraining does."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learn_features.contracts import times
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec
from learn_features.data.splits import Split
from learn_features.errors import BundleError, ConfigError, SpaceMismatch
from learn_features.towers.config import TowerConfig
from learn_features.towers.model import Towers
from learn_features.towers.residuals import ItemResiduals
from learn_features.towers.weights import (
    LENDING,
    describe,
    load_residuals,
    load_towers,
    run_space_id,
    tower_config,
)

log = logging.getLogger(__name__)

FREE = ("example_age", "similar_items", "dropout", "content_dropout")
"""What a child's towers may have otherwise than its parent's."""


@dataclass(frozen=True)
class Parent:
    """Where training starts from."""

    towers: Towers
    space_id: str
    """Of a run: the one it has when it is published."""
    residuals: ItemResiduals | None
    """What the parent learned of single items; None: it has none."""
    split: str
    """The kind of split that it was trained on."""
    trained_until: datetime
    """The newest interaction that it was trained on."""

    @property
    def borrowing(self) -> float:
        """How strongly the parent's new items borrow from similar ones."""
        similar = self.towers.item.similar
        return 0.0 if similar is None else float(similar.strength)

    @property
    def moved(self) -> Tensor:
        """(D,): how far the parent's new items were moved."""
        moved = self.towers.item.moved
        return torch.zeros(self.towers.config.dimension) if moved is None else moved.detach().cpu()

    def knows(self, item_ids: Sequence[str]) -> NDArray[np.bool_]:
        """(n,): which of these items were there when the parent was trained, so that they are not new."""
        if self.residuals is None:
            return np.zeros(len(item_ids), dtype=bool)
        return np.asarray(self.residuals.lookup(item_ids).any(axis=1))

    def residuals_of(self, item_ids: Sequence[str]) -> NDArray[np.float32]:
        """(n, D): of these items, before any move or lift; zeros where the parent has nothing."""
        if self.residuals is None:
            return np.zeros((len(item_ids), self.towers.config.dimension), dtype=np.float32)
        rows = self.residuals.unlifted(item_ids)
        rows[self.knows(item_ids)] += self.moved.numpy()
        return rows

    def knows_validation(self, parts: Split) -> bool:
        """Whether it was trained on some of the validation cases, whose figures then flatter."""
        return parts.kind == "leave_one_out" or self.trained_until > times.from_us(parts.train.newest_us)

    def check_unseen(self, parts: Split, *, warns: bool = True) -> None:
        """`ConfigError` if the parent has seen the test answers of `parts`; it `warns` where it may know
        some: leave-one-out cuts each user's log at a time of its own, and that moves back when an item or
        an interaction leaves the data."""
        if self.split != parts.kind:
            raise ConfigError(
                f"parent: was trained on the split {self.split}, which has seen answers of {parts.kind};"
                " train without a parent, or on its split"
            )
        tested_from = times.from_us(parts.train_and_validation.newest_us)
        if self.trained_until > tested_from:
            raise ConfigError(
                f"parent: was trained on interactions up to {self.trained_until}, beyond the test cut of"
                f" these data ({tested_from}), so it knows answers; take newer data, or train without it"
            )
        if parts.kind == "leave_one_out" and warns:
            older = np.count_nonzero(parts.test.request_times_us <= times.to_us(self.trained_until))
            if older:
                log.warning(
                    "%d of %d test answers are no newer than what the parent was trained on: it knows those"
                    " of users whose last interaction then has left the data, and their figures flatter",
                    older,
                    len(parts.test.request_times_us),
                )


def open_parent(uri: str | Path, encoder: EncoderSpec, history: HistoryRule, config: TowerConfig) -> Parent:
    """The parent at `uri`, a bundle (path or fsspec URI) or a run's folder.

    Example ages may come or go with the log's times: they begin at nothing, or are left out. How many known
    items lend and what drops out may change as well (`FREE`). Raises `SpaceMismatch` unless content encoder,
    history rule and the rest of the architecture are the same, `BundleError` if it cannot be read.
    """
    about = describe(uri)
    # through the model: what an older parent does not name has its default
    free = {name: getattr(config, name) for name in FREE}
    architecture = tower_config(uri, about).model_copy(update=free)
    parents = {**about, "towers": architecture.model_dump(mode="json")}
    for part, ours in (
        ("encoder", encoder.model_dump(mode="json")),
        ("history", history.model_dump(mode="json")),
        ("towers", config.model_dump(mode="json")),
    ):
        theirs = parents.get(part) or {}
        differing = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
        if differing:
            changes = ", ".join(f"{key} {theirs.get(key)!r} → {ours.get(key)!r}" for key in differing)
            raise SpaceMismatch(
                f"{uri}: another {part} than here ({changes}); train without a parent, or with its settings"
            )
    towers = Towers(config)
    state = load_towers(uri).state_dict()
    if towers.item.similar is not None:
        towers.item.similar.make_room(len(state.get(LENDING[0], ())))
    own = towers.state_dict()
    towers.load_state_dict({name: state.get(name, own[name]) for name in own})
    try:
        kind = about["split"]
        until = datetime.fromisoformat(about["trained_until"])
        if until.tzinfo is None:
            raise ValueError("a time without a zone")
    except (KeyError, TypeError, ValueError):
        raise BundleError(f"{uri}: does not say on what it was trained; train it again") from None
    return Parent(towers, run_space_id(uri, about), load_residuals(uri), kind, until)
