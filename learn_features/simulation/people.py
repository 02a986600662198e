"""Users: a mixture of tastes that drifts from day to day, a steady style, a pace."""

from dataclasses import dataclass

import numpy as np

from learn_features.simulation.catalogue import DIMENSION, Factors, unit_rows
from learn_features.simulation.styles import STYLES
from learn_features.simulation.subcategories import TASTES

INTERESTS = 4
"""Tastes a user ever has; at a time mostly one or two of them weigh."""
TASTE_WEIGHT, _STYLE_WEIGHT, _OWN_WEIGHT = 0.85, 0.65, 0.35
_START_SPREAD, _DRIFT, _PULL = 1.6, 0.3, 0.98
_LATE_SHARE = 0.3


@dataclass(frozen=True)
class People:
    """
    interests  int64 (U, INTERESTS), positions in TASTES
    weights    float64 (days, U, INTERESTS), rows sum to 1: how much each interest counts on a day
    leaning    float64 (U, K), what a user likes beside tastes: a style and something of their own
    pace       float64 (U,), expected sessions a day
    first_day  int64 (U,), when the user joins
    """

    user_ids: list[str]
    interests: np.ndarray
    weights: np.ndarray
    leaning: np.ndarray
    pace: np.ndarray
    first_day: np.ndarray

    def directions(self, factors: Factors, day: int, users: np.ndarray) -> np.ndarray:
        """float64 (n, K): what `users` like on `day`, all interests together."""
        tastes = np.einsum("ui,uik->uk", self.weights[day, users], factors.tastes[self.interests[users]])
        return TASTE_WEIGHT * tastes + self.leaning[users]


def draw_people(count: int, days: int, sessions: float, factors: Factors, rng: np.random.Generator) -> People:
    """`count` users with `sessions` sessions each on average, over `days`."""
    interests = np.argsort(rng.random((count, len(TASTES))), axis=1)[:, :INTERESTS]
    logits = np.empty((days, count, INTERESTS))
    logits[0] = rng.normal(size=(count, INTERESTS)) * _START_SPREAD
    for day in range(1, days):
        logits[day] = logits[day - 1] * _PULL + rng.normal(size=(count, INTERESTS)) * _DRIFT
    weights = np.exp(logits)
    weights /= weights.sum(axis=2, keepdims=True)
    own = unit_rows(rng.normal(size=(count, DIMENSION)))
    style = factors.styles[rng.integers(len(STYLES), size=count)]
    first_day = np.where(rng.random(count) < _LATE_SHARE, rng.integers(0, days, size=count), 0)
    pace = rng.lognormal(-0.245, 0.7, size=count) * sessions / (days - first_day)
    return People(
        user_ids=[f"user-{u:06d}" for u in range(count)],
        interests=interests,
        weights=weights,
        leaning=_STYLE_WEIGHT * style + _OWN_WEIGHT * own,
        pace=np.minimum(pace, 3.0),
        first_day=first_day,
    )
