"""The market, day by day: users come, see a ranked slate, and click what they like.

The loop is closed: what was clicked before is shown more, so popularity is partly luck.
"""

import numpy as np
import polars as pl

from learn_features.contracts import columns as c
from learn_features.contracts import identity
from learn_features.simulation.catalogue import Catalogue, Factors
from learn_features.simulation.people import INTERESTS, TASTE_WEIGHT, People

DAY_US = 86_400_000_000
CLICK = "click"

SLATE = 24
_RELEVANCE, _POPULARITY, _QUALITY, _SEEN = 5.0, 0.45, 0.5, 2.5
"""What puts an item on the slate; the rest is chance (Gumbel noise)."""
_CLICK_TASTE, _CLICK_QUALITY, _CLICK_BASE = 6.0, 0.6, 5.7
_POSITION_BIAS = 0.12
_FADE = 0.98
_CHUNK = 512
_HOURS = np.array([1, 1, 1, 1, 1, 2, 4, 6, 6, 5, 5, 6, 8, 7, 5, 5, 6, 8, 10, 12, 13, 11, 7, 3], dtype=float)


def run_market(
    catalogue: Catalogue, people: People, factors: Factors, start_us: int, rng: np.random.Generator
) -> pl.DataFrame:
    """All clicks in order of time, with the contract's interaction columns.

    Memory: users × items bytes, for what was clicked already.
    """
    market = _Market(catalogue, people, factors, rng)
    users, items, moments = [], [], []
    for day in range(len(people.weights)):
        visits = rng.poisson(people.pace) * (people.first_day <= day)
        visitors = rng.permutation(np.repeat(np.arange(len(visits)), visits))
        for first in range(0, len(visitors), _CHUNK):
            present = visitors[first : first + _CHUNK]
            session, item, place = market.clicks(present, day)
            begin = _session_times(len(present), rng)[session]
            seconds = (place + 1) * rng.uniform(4, 20, size=len(place))
            users.append(present[session])
            items.append(item)
            moments.append(start_us + day * DAY_US + begin + (seconds * 1e6).astype(np.int64))
        market.close_day()
    return _table(np.concatenate(users), np.concatenate(items), np.concatenate(moments), catalogue, people)


class _Market:
    """What the shop remembers: clicks of late per item, and who clicked what."""

    def __init__(
        self, catalogue: Catalogue, people: People, factors: Factors, rng: np.random.Generator
    ) -> None:
        self._catalogue, self._people, self._factors, self._rng = catalogue, people, factors, rng
        self._popularity = np.zeros(len(catalogue.quality))
        self._today = np.zeros(len(catalogue.quality))
        self._clicked = np.zeros((len(people.user_ids), len(catalogue.quality)), dtype=bool)

    def clicks(self, users: np.ndarray, day: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One session a user: session, item and place on the slate of each click, int64 (clicks,)."""
        rng, people = self._rng, self._people
        there = int(np.searchsorted(self._catalogue.arrival_day, day, side="right"))
        quality = self._catalogue.quality[:there]
        draw = rng.random((len(users), 1))
        focus = (np.cumsum(people.weights[day, users], axis=1) < draw).sum(axis=1).clip(max=INTERESTS - 1)
        tastes = self._factors.tastes[people.interests[users, focus]]
        affinity = (TASTE_WEIGHT * tastes + people.leaning[users]) @ self._catalogue.vectors[:there].T
        shown = _RELEVANCE * affinity + _POPULARITY * np.log1p(self._popularity[:there]) + _QUALITY * quality
        shown -= _SEEN * self._clicked[users, :there]
        shown += rng.gumbel(size=shown.shape)
        slate = np.argpartition(-shown, SLATE, axis=1)[:, :SLATE]
        best_first = np.argsort(-np.take_along_axis(shown, slate, axis=1), axis=1)
        slate = np.take_along_axis(slate, best_first, axis=1)
        liking = _CLICK_TASTE * np.take_along_axis(affinity, slate, axis=1) + _CLICK_QUALITY * quality[slate]
        examined = 1 / (1 + _POSITION_BIAS * np.arange(SLATE))
        session, place = np.nonzero(rng.random(slate.shape) < examined / (1 + np.exp(_CLICK_BASE - liking)))
        items = slate[session, place]
        self._clicked[users[session], items] = True
        self._today += np.bincount(items, minlength=len(self._today))
        return session, items, place

    def close_day(self) -> None:
        self._popularity = self._popularity * _FADE + self._today
        self._today = np.zeros_like(self._today)


def _session_times(count: int, rng: np.random.Generator) -> np.ndarray:
    """int64 (count,) µs into the day, more in the evening; sessions end before midnight."""
    hour = rng.choice(24, size=count, p=_HOURS / _HOURS.sum())
    begin = (hour * 3600 + rng.random(count) * 3600) * 1e6
    return np.minimum(begin, DAY_US - 600e6).astype(np.int64)


def _table(
    user: np.ndarray, item: np.ndarray, moment: np.ndarray, catalogue: Catalogue, people: People
) -> pl.DataFrame:
    order = np.lexsort((item, user, moment))
    users = pl.Series(people.user_ids).gather(user[order])
    items = catalogue.items[c.ITEM_ID].gather(item[order])
    times = pl.Series(moment[order])
    ids = map(identity.event_id, users, items, times, [CLICK] * len(times))
    return pl.DataFrame(
        {
            c.USER_ID: users,
            c.ITEM_ID: items,
            c.EVENT_TIMESTAMP: times.cast(pl.Datetime("us", "UTC")),
            c.EVENT_ID: list(ids),
            c.EVENT_TYPE: CLICK,
            c.VALUE: pl.Series([None] * len(times), dtype=pl.Float64),
        }
    )
