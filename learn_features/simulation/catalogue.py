"""Items: texts, arrival times and true latent factors.

An item's factor is the direction of its taste + style + sub-category + something no text tells.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from learn_features.contracts import columns as c
from learn_features.simulation.styles import STYLES
from learn_features.simulation.subcategories import SUBCATEGORIES, TASTES
from learn_features.simulation.texts import item_fields

DIMENSION = 24
_TASTE, _STYLE, _SUBCATEGORY, _HIDDEN = 0.9, 0.6, 0.4, 0.3
_OTHER_BRAND = 0.2
_EARLY_SHARE = 0.75

TASTE_OF_SUBCATEGORY = np.array([TASTES.index(s.taste) for s in SUBCATEGORIES])


@dataclass(frozen=True)
class Factors:
    """Unit directions in taste space: tastes (18, K), styles (6, K), sub-categories (72, K)."""

    tastes: np.ndarray
    styles: np.ndarray
    subcategories: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Factors":
        return cls(
            *(unit_rows(rng.normal(size=(n, DIMENSION))) for n in (len(TASTES), 6, len(SUBCATEGORIES)))
        )


@dataclass(frozen=True)
class Catalogue:
    """Items in order of arrival; row i of every array is item i.

    items         contract columns
    subcategory   int64 (I,) position in SUBCATEGORIES; style: int64 (I,) position in STYLES
    vectors       float64 (I, K), unit length
    quality       float64 (I,), what all users like alike and no text tells
    arrival_day   int64 (I,); 0: there from the start
    """

    items: pl.DataFrame
    subcategory: np.ndarray
    style: np.ndarray
    vectors: np.ndarray
    quality: np.ndarray
    arrival_day: np.ndarray

    @property
    def taste(self) -> np.ndarray:
        """int64 (I,) position in TASTES."""
        return TASTE_OF_SUBCATEGORY[self.subcategory]


def draw_catalogue(
    count: int, days: int, start_us: int, factors: Factors, rng: np.random.Generator
) -> Catalogue:
    """`count` items, three quarters there from the start, the others arriving over `days`."""
    arrival = np.where(rng.random(count) < _EARLY_SHARE, 0, rng.integers(1, max(days, 2), size=count))
    arrival.sort()
    subcategory = np.concatenate(
        [rng.permutation(len(SUBCATEGORIES)) for _ in range(-(-count // len(SUBCATEGORIES)))]
    )[:count]
    style = rng.integers(len(STYLES), size=count)
    vectors = unit_rows(
        _TASTE * factors.tastes[TASTE_OF_SUBCATEGORY[subcategory]]
        + _STYLE * factors.styles[style]
        + _SUBCATEGORY * factors.subcategories[subcategory]
        + _HIDDEN * unit_rows(rng.normal(size=(count, DIMENSION)))
    )
    rows = [
        {c.ITEM_ID: f"item-{i:06d}", **describe(int(s), int(style[i]), rng)}
        for i, s in enumerate(subcategory)
    ]
    before = rng.integers(1, 90 * 86_400, size=count) * 1_000_000
    updated = np.where(arrival == 0, start_us - before, start_us + arrival * 86_400_000_000)
    items = pl.DataFrame(rows).with_columns(pl.Series(c.UPDATED_AT, updated).cast(pl.Datetime("us", "UTC")))
    return Catalogue(items, subcategory, style, vectors, rng.normal(size=count), arrival)


def describe(subcategory: int, style: int, rng: np.random.Generator) -> dict[str, str | float]:
    """Text fields of an item of this sub-category and style; its brand mostly tells the style."""
    brand_style = STYLES[int(rng.integers(len(STYLES)))] if rng.random() < _OTHER_BRAND else STYLES[style]
    brand = brand_style.brands[(subcategory + int(rng.integers(3))) % len(brand_style.brands)]
    return item_fields(SUBCATEGORIES[subcategory], STYLES[style], brand, rng)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
