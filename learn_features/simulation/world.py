"""A world by seed: its catalogue, its people, and what happened between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from learn_features.contracts import columns as c
from learn_features.contracts import times
from learn_features.contracts.events import ItemRecord
from learn_features.data.item_index import ItemIndex
from learn_features.data.tables import write_dataset
from learn_features.errors import ConfigError
from learn_features.simulation.catalogue import (
    TASTE_OF_SUBCATEGORY,
    Catalogue,
    Factors,
    describe,
    draw_catalogue,
)
from learn_features.simulation.market import DAY_US, run_market
from learn_features.simulation.people import People, draw_people
from learn_features.simulation.styles import STYLES
from learn_features.simulation.subcategories import SUBCATEGORIES, TASTES

END = datetime(2026, 6, 1, tzinfo=UTC)
"""The world ends here, whatever its length: runs are the same whenever they are made."""


@dataclass(frozen=True)
class World:
    """Everything that is true before anybody clicks; the same for the same arguments."""

    seed: int
    start_us: int
    factors: Factors
    catalogue: Catalogue
    people: People

    @classmethod
    def draw(
        cls, seed: int = 0, items: int = 2_000, users: int = 3_000, days: int = 60, sessions: float = 9.0
    ) -> "World":
        """`sessions`: expected visits a user over all days. Raises `ConfigError` for impossible sizes."""
        for name, value, least in (("items", items, 100), ("users", users, 1), ("days", days, 2)):
            if value < least:
                raise ConfigError(f"simulate: {name} is {value}; at least {least} are needed")
        rng = np.random.default_rng(seed)
        start_us = times.to_us(END - timedelta(days=days))
        factors = Factors.draw(rng)
        catalogue = draw_catalogue(items, days, start_us, factors, rng)
        return cls(seed, start_us, factors, catalogue, draw_people(users, days, sessions, factors, rng))

    @property
    def subcategories(self) -> list[str]:
        """Names of all sub-categories, `Tents` …"""
        return [s.name for s in SUBCATEGORIES]

    @property
    def tastes(self) -> list[str]:
        """Names of all tastes, `wild camping` …; each runs across categories."""
        return list(TASTES)

    def items_of(self, taste: str) -> list[str]:
        """Ids of the items of a taste, best quality first."""
        items = np.flatnonzero(self.catalogue.taste == _position(TASTES, taste, "taste"))
        best = items[np.argsort(-self.catalogue.quality[items], kind="stable")]
        return self.catalogue.items[c.ITEM_ID].gather(best).to_list()

    def taste_of(self, item_id: str) -> str:
        """The taste that an item of the catalogue belongs to."""
        return TASTES[self.catalogue.taste[self._encode([item_id])[0]]]

    def interests(self, user_id: str, time: datetime) -> dict[str, float]:
        """A user's true tastes at a time and their weights, strongest first."""
        user = self._user(user_id)
        weights = self.people.weights[self._day(time), user]
        order = np.argsort(-weights)
        return {TASTES[self.people.interests[user, i]]: float(weights[i]) for i in order}

    def affinity(self, user_id: str, item_ids: Sequence[str], time: datetime) -> np.ndarray:
        """True affinity float64 (n,) of a user to items at a time: taste, style and quality."""
        user = np.array([self._user(user_id)])
        direction = self.people.directions(self.factors, self._day(time), user)[0]
        items = self._encode(item_ids)
        return self.catalogue.vectors[items] @ direction + 0.1 * self.catalogue.quality[items]

    def new_item(self, subcategory: str, *, seed: int = 0, style: str | None = None) -> ItemRecord:
        """A fresh item of a sub-category, as somebody would upload it; new for every `seed`."""
        position = _position([s.name for s in SUBCATEGORIES], subcategory, "sub-category")
        rng = np.random.default_rng([self.seed, seed, position])
        chosen = (
            int(rng.integers(len(STYLES)))
            if style is None
            else _position([s.name for s in STYLES], style, "style")
        )
        fields = describe(position, chosen, rng)
        return ItemRecord(item_id=f"new-{position:02d}-{self.seed}-{seed}", **fields)  # type: ignore[arg-type]

    def run(self) -> "Simulation":
        """Let the market run from the first to the last day."""
        rng = np.random.default_rng([self.seed, 1])
        log = run_market(self.catalogue, self.people, self.factors, self.start_us, rng)
        return Simulation(self, self.catalogue.items, log)

    @cached_property
    def _index(self) -> ItemIndex:
        return ItemIndex(self.catalogue.items[c.ITEM_ID])

    def _day(self, time: datetime) -> int:
        day = (times.to_us(time) - self.start_us) // DAY_US
        return int(np.clip(day, 0, len(self.people.weights) - 1))

    def _user(self, user_id: str) -> int:
        return _position(self.people.user_ids, user_id, "user")

    def _encode(self, item_ids: Sequence[str]) -> np.ndarray:
        positions = self._index.encode(item_ids)
        if (positions < 0).any():
            unknown = [item for item, at in zip(item_ids, positions, strict=True) if at < 0]
            raise ConfigError(f"this world has no items {unknown[:5]}")
        return positions


@dataclass(frozen=True)
class Simulation:
    """A world and what happened in it: `items` and `interactions` with the contract's columns."""

    world: World
    items: pl.DataFrame
    interactions: pl.DataFrame

    def affinity(self, user_id: str, item_ids: Sequence[str], time: datetime) -> np.ndarray:
        """See `World.affinity`."""
        return self.world.affinity(user_id, item_ids, time)

    def write(self, folder: str | Path) -> None:
        """Write items.parquet and interactions.parquet; the same bytes for the same arguments."""
        write_dataset(folder, self.items, self.interactions)


def simulate(
    seed: int = 0, items: int = 2_000, users: int = 3_000, days: int = 60, sessions: float = 9.0
) -> Simulation:
    """Draw a world and let it run."""
    return World.draw(seed, items, users, days, sessions).run()


def subcategories_of(taste: str) -> list[str]:
    """Names of the sub-categories that make up a taste."""
    wanted = _position(TASTES, taste, "taste")
    return [s.name for s, at in zip(SUBCATEGORIES, TASTE_OF_SUBCATEGORY, strict=True) if at == wanted]


def _position(names: Sequence[str], name: str, what: str) -> int:
    try:
        return list(names).index(name)
    except ValueError:
        known = ", ".join(list(names)[:8])
        raise ConfigError(f"there is no {what} called {name!r}; there are {known} …") from None
