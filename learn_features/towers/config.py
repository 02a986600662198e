"""What the towers look like. Part of the embedding space: every field changes what a vector means."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from learn_features.errors import ConfigError

ItemVariant = Literal["sequence", "single", "content", "projection"]
"""How an item becomes a vector (PAPER: Model):

sequence    (a) the user tower's architecture; in training it reads the target sequence causally
single      (b) the same, but each target attends to itself alone
content     (c) the content vector itself; the user tower then ends in the content's dimension
projection  linear map plus a small MLP of the content vector: what suits a CPU and small data

At inference all of them read one item.
"""


class TowerConfig(BaseModel):
    """Architecture of both towers (PAL). Scalars only, as the manifest wants them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    content_dimension: int = Field(ge=1)
    """C, width of the content vectors that come in."""
    dimension: int = Field(default=64, ge=1)
    """D, width of user and item vectors."""
    width: int = Field(default=64, ge=1)
    """Width of the transformer."""
    layers: int = Field(default=2, ge=1, le=1_000)
    heads: int = Field(default=4, ge=1)
    feedforward: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    content_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout on the content vectors, before everything else."""
    item_variant: ItemVariant = "projection"
    item_hidden: int = Field(default=256, ge=1)
    """Hidden width of the MLP of `projection`."""
    shared_weights: bool = True
    """Whether `sequence` and `single` use the user tower's very weights."""
    recency_sum: bool = True
    """Gate the transformer with a sum of the history's item vectors, weighted by learned recency."""
    positions: Literal["none", "learned"] = "none"
    """Position embeddings, counted from the oldest entry; the authors' code has none."""
    time_gaps: bool = False
    """Whether the user tower also reads the time since the previous entry."""
    example_age: bool = False
    """Whether user vectors say how long before the end of the log they were asked for; served ones: at it. Of
    an order alone: how many positions before their own end."""
    residuals: bool = False
    """Whether items seen in training carry a learned vector of width D beside their content."""
    similar_items: int = Field(default=0, ge=0)
    """Known items at most, the most often taken, of which new ones borrow by content, where they can be told
    from known ones (`places_new_items`); 0: they borrow nothing."""
    max_length: int = Field(default=50, ge=1)
    """Longest history that positions and recency weights tell apart; the history rule's."""
    temperature: float = Field(default=0.07, ge=0.01)
    learnable_temperature: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> "TowerConfig":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.item_variant == "content" and self.dimension != self.content_dimension:
            raise ValueError(
                f"item_variant content needs dimension {self.dimension} to be the content's"
                f" {self.content_dimension}"
            )
        if self.item_variant == "content" and self.residuals:
            raise ValueError(
                "item_variant content is the content itself and has nothing that residuals could correct;"
                " set residuals to false, or take variant projection"
            )
        return self

    @property
    def places_new_items(self) -> bool:
        """Whether items without a residual can be told from trained ones, and placed among them."""
        return self.residuals and self.item_variant == "projection"

    @property
    def borrows(self) -> bool:
        """Whether new items borrow from similar ones."""
        return self.places_new_items and self.similar_items > 0


_PAPER_LIKE: dict[str, Any] = {
    "dropout": 0.1,
    "content_dropout": 0.0,
    "item_variant": "sequence",
    "recency_sum": False,
    "residuals": False,
}

PRESETS: dict[str, dict[str, Any]] = {
    "small": {"content_dropout": 0.2, "residuals": True, "example_age": True, "similar_items": 4096},
    "paper": {**_PAPER_LIKE, "width": 768, "layers": 12, "heads": 12, "feedforward": 3072},
    "paper-small": {
        **_PAPER_LIKE,
        "item_variant": "single",
        "width": 128,
        "layers": 2,
        "heads": 4,
        "feedforward": 256,
    },
}
"""`small`: two CPU cores, minutes. `paper`: BERT-base size, item tower (a). `paper-small`: the paper's form
on a CPU, for short histories, where item tower (b) is better (docs/experiments.md)."""


def tower_preset(
    name: str, /, *, content_dimension: int, has_times: bool = True, **changes: Any
) -> TowerConfig:
    """The preset `name` with `changes`, for content vectors of this width.

    Without `has_times` the log has only an order, and no gaps of time are read. Raises `ConfigError` for an
    unknown preset, and for changes that are no fields, have impossible values or ask for times that there are
    not.
    """
    if name not in PRESETS:
        raise ConfigError(f"training.preset: {name} is unknown; there are {', '.join(PRESETS)}")
    settings = {**PRESETS[name], **changes}
    if not has_times:
        if changes.get("time_gaps"):
            raise ConfigError(
                "training.towers.time_gaps: the data have an order (position) and no times; leave it out"
            )
        settings["time_gaps"] = False
    try:
        return TowerConfig(content_dimension=content_dimension, **settings)
    except ValidationError as error:
        raise ConfigError.of("training.towers", error) from None
