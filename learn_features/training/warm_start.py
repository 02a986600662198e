"""Towers that go on from a parent bundle or run, as daily retraining does."""

from dataclasses import dataclass
from pathlib import Path

from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec
from learn_features.errors import SpaceMismatch
from learn_features.towers.config import TowerConfig
from learn_features.towers.model import Towers
from learn_features.towers.residuals import ItemResiduals
from learn_features.towers.weights import LENDING, describe, load_residuals, load_towers, tower_config

FREE = ("example_age", "similar_items", "dropout", "content_dropout")
"""What a child's towers may have otherwise than its parent's."""


@dataclass(frozen=True)
class Parent:
    """Where training starts from, and the space id to note (None for a run not published)."""

    towers: Towers
    space_id: str | None
    residuals: ItemResiduals | None = None
    """What the parent learned of single items; None: it has none."""

    @property
    def borrowing(self) -> float:
        """How strongly the parent's new items borrow from similar ones."""
        similar = self.towers.item.similar
        return 0.0 if similar is None else float(similar.strength)


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
                f"{uri}: its {part} differs ({changes}); train without a parent, or with its settings"
            )
    towers = Towers(config)
    state = load_towers(uri).state_dict()
    if towers.item.similar is not None:
        towers.item.similar.make_room(len(state.get(LENDING[0], ())))
    own = towers.state_dict()
    towers.load_state_dict({name: state.get(name, own[name]) for name in own})
    return Parent(towers, about.get("space_id"), load_residuals(uri))
