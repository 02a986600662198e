"""How towers are trained. Presets carry the names of the tower presets."""

import logging
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from learn_features.errors import ConfigError
from learn_features.towers.config import TowerConfig

log = logging.getLogger(__name__)

FEWEST_PAIRS = 32
"""A step of a short log has as many (softmax)."""

Draw = Literal["random", "recency"]
"""How positions are drawn: all alike, or with the paper's recency weights."""


class Recipe(BaseModel):
    """Everything about training that the towers themselves do not show."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    loss: Literal["softmax", "dense_all_action"] = "softmax"
    start: Literal["random", "content"] = "random"
    """Weights of fresh towers; content: their transformers begin near the geometry of the content vectors."""
    epochs: int = Field(default=16, ge=1)
    final: Literal["continue", "refit", "none"] = "refit"
    """How the validation interactions get in once the best epoch is known:

    continue  the best weights train on for `final_epochs` at the lower rate
    refit     fresh weights, for as many epochs as the best took, at the rates those had
    none      not at all
    """
    final_epochs: int = Field(default=3, ge=0)
    """continue: epochs that the best towers train on."""
    patience: int = Field(default=6, ge=1)
    """Epochs without a better validation NDCG@10 after which training stops."""
    max_steps: int = Field(default=3000, ge=1)
    """Optimiser steps of `epochs` epochs at most: on large data an epoch is a random part of it."""
    learning_rate: float = Field(default=3e-3, gt=0)
    final_learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.3, ge=0)
    residual_rate: float = Field(default=4.0, gt=0)
    """Learning rate of the item residuals, as a multiple of the others'."""
    residual_decay: float = Field(default=0.5, ge=0)
    """Weight decay of the item residuals."""
    residual_dropout: float = Field(default=0.3, ge=0, lt=1)
    """Share of residuals that a step does without, so that content has to carry as well."""
    residual_shrink: float = Field(default=4.0, ge=0)
    """Of a residual, n / (n + this) is served, n being the interactions with the item in the log: what few of
    them taught is mostly noise; 0: all of it."""
    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    clip_norm: float = Field(default=1.0, gt=0)
    accumulate: int = Field(default=1, ge=1)
    """Passes that a step's batch is cut into, where it does not fit the memory; the result is the same but
    for dropout, which each pass draws for itself."""
    ema: float = Field(default=0.99, ge=0, lt=1)
    """Decay of an exponential moving average of the weights, which is what is judged and kept; 0: none."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the towers' arithmetic in training; auto: bf16 autocast on a GPU that has it, else fp32."""
    compile_layers: bool = False
    """On a GPU, make few kernels of the transformer (torch.compile): takes a minute or so at the start, and
    again for each number of length groups that comes up, and saves memory traffic in every step, so it is
    for wide towers and long trainings."""
    validation_cases: int = Field(default=5000, ge=1)
    new_item_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the items that are held out as new while the number of epochs is found, to learn where new
    items should stand among trained ones; 0: new items stand where their content puts them."""
    new_item_cost: float = Field(default=0.005, ge=0, lt=1)
    """Share of the best validation NDCG that showing new items may cost while so many are new: they have to
    be shown to be learnt about. It costs less where fewer are new; 0: no further than serves all requests."""

    pairs_per_step: int = Field(default=600, ge=2)
    """softmax: (position, next item) pairs a step."""
    max_pairs_per_step: int = Field(default=1800, ge=2)
    """softmax: a step grows up to so many pairs where else `max_steps` would not go through the log `epochs`
    times."""
    min_epoch_steps: int = Field(default=40, ge=1)
    """softmax: a step shrinks, not below FEWEST_PAIRS, where else an epoch of a short log has fewer steps."""
    backwards: bool = True
    """softmax: read sequences backwards as often as backward pairs count in item-CF tuned on the log, and
    learn as many of the pairs within a moment."""
    teacher_share: float = Field(default=0.4, ge=0, lt=1)
    """softmax: share of each target that goes to the votes of a cross-fitted item-to-item model, item-CF or
    EASE, whichever ranks better on validation; 0: no teacher. Very large catalogues have none
    (`teacher.TAUGHT_ITEMS`)."""
    short_teacher_share: float = Field(default=0.6, ge=0, lt=1)
    """softmax: at least as much where a log is so short that its steps shrink: one next item says less than
    what all users took."""
    max_candidates: int = Field(default=10_000, ge=2)
    """softmax: of more trained items than this so many are drawn as negatives, anew each step."""

    untaken_weight: float = Field(default=0.1, ge=0, le=1)
    """softmax: what an item that nobody took counts as a negative, beside 1 of a trained one:
    enough to learn that its text is not what is wanted, little enough for new items; 0: nothing."""

    users_per_step: int = Field(default=240, ge=2)
    """dense_all_action: users a step, each the others' negatives."""
    history_length: int = Field(default=80, ge=1)
    target_length: int = Field(default=40, ge=1)
    history_positions: int = Field(default=10, ge=1)
    target_positions: int = Field(default=10, ge=1)
    first_stage: Draw = "random"
    second_stage: Draw = "recency"
    alpha: float = Field(default=10.0, gt=1)
    beta: float = Field(default=10_000.0, gt=1)
    spare_history: bool = False
    """dense_all_action: items of a user's own (sampled) history are no negatives of the user either, as a
    ranking leaves them out."""
    logq: bool = False
    """dense_all_action: take the log of an item's frequency off its scores, as popular items are
    negatives more often."""

    def steps_of_an_epoch(self, whole: int) -> int:
        """How many of the `whole` log's steps an epoch takes."""
        return min(whole, max(1, self.max_steps // self.epochs))

    def pairs_of_a_step(self, pairs: int) -> int:
        """softmax: how many of a log's `pairs` a step takes."""
        all_of_them = -(-pairs * self.epochs // self.max_steps)
        size = max(self.pairs_per_step, min(all_of_them, self.max_pairs_per_step))
        return min(size, max(FEWEST_PAIRS, all_of_them, pairs // self.min_epoch_steps))

    def votes_share(self, pairs: int) -> float:
        """softmax: the teacher's share of each target in a log of `pairs`."""
        short = self.pairs_of_a_step(pairs) < self.pairs_per_step
        return max(self.teacher_share, self.short_teacher_share) if short else self.teacher_share

    @property
    def ends_on_validation(self) -> bool:
        """Whether the validation interactions get in at the end."""
        return self.final == "refit" or (self.final == "continue" and self.final_epochs > 0)

    @property
    def asks_item_to_item(self) -> bool:
        """Whether training asks item-to-item models about the log first."""
        return self.loss == "softmax" and (self.backwards or self.teacher_share > 0)

    @model_validator(mode="after")
    def _recency_grows(self) -> "Recipe":
        if self.beta < self.alpha:
            raise ValueError(f"beta {self.beta} must not be below alpha {self.alpha}: newer weighs more")
        return self

    @model_validator(mode="after")
    def _has_steps(self) -> "Recipe":
        if self.max_steps < self.epochs:
            few = f"max_steps {self.max_steps} must not be below epochs {self.epochs}"
            raise ValueError(f"{few}: each epoch has a step")
        return self


_PAPER: dict[str, Any] = {
    "loss": "dense_all_action",
    "ema": 0.0,
    "weight_decay": 0.01,
    # beyond the paper's formula; docs/experiments.md says what each is worth
    "start": "content",
    "spare_history": True,
    "logq": True,
}

PRESETS: dict[str, dict[str, Any]] = {
    "small": {},
    "paper": {
        **_PAPER,
        "learning_rate": 1e-4,
        "final": "continue",
        "final_learning_rate": 2e-5,
        "max_steps": 200_000,
        "compile_layers": True,
    },
    "paper-small": {
        **_PAPER,
        "learning_rate": 1e-3,
        "final_learning_rate": 5e-4,
        "epochs": 20,
        "max_steps": 2_000,
        "patience": 5,
    },
}


def recipe_preset(name: str, /, **changes: Any) -> Recipe:
    """The recipe `name` with `changes`; `ConfigError` if there is none, or for what a recipe cannot be."""
    if name not in PRESETS:
        raise ConfigError(f"training.preset: {name} is unknown; there are {', '.join(PRESETS)}")
    try:
        return Recipe(**{**PRESETS[name], **changes})
    except ValidationError as error:
        raise ConfigError.of("training.recipe", error) from None


def check_together(recipe: Recipe, towers: TowerConfig) -> None:
    """`ConfigError` where the loss cannot train what the towers have."""
    if towers.example_age and recipe.loss != "softmax":
        raise ConfigError(f"training: loss {recipe.loss} learns no example ages; set example_age to false")


def warn_of_unused(recipe: Recipe, towers: TowerConfig) -> None:
    """A warning where the loss makes no use of what the towers have."""
    if towers.item_variant == "sequence" and recipe.loss == "softmax":
        log.warning("loss softmax reads every item by itself: item_variant sequence is trained as single is")
