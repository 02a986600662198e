"""What is in demand at the end of the log stands nearer to everybody.

Towers learn who takes an item, and of when only what example ages tell. Served users are all asked at the end
of the log, and so are the cases of one that is split by time. There each trained item moves towards the mean
user by

    lift · L · log(1 + recent),   recent = Σ 2^-(age / half life) over the interactions with it

L is the mean length of trained items' projections (`new_items.mean_length`); ages are at the end of the log.
Both numbers are found on validation, by a model that knows nothing of the time after its cut; a lift of 0 is
none. The lift is a part of the residuals that are served, so it costs serving nothing. New items have none.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.popularity import faded_counts
from learn_features.evaluation.baselines.search import Knob, Search
from learn_features.evaluation.harness import evaluate
from learn_features.evaluation.metrics import SELECTED_BY
from learn_features.towers.residuals import Lift
from learn_features.towers.scoring import case_vectors
from learn_features.training.audience import over_items
from learn_features.training.new_items import mean_length, mean_user
from learn_features.training.trained import Trained

CASES = 2_000
"""Validation cases at most."""


@dataclass(frozen=True)
class Demand:
    """How far a recent interaction lifts an item, and how soon it is half forgotten."""

    lift: float = 0.0
    half_life_days: float = 1.0


HALF_LIFE = Knob("half_life_days", (0.5, 1.0, 2.0, 4.0, 8.0, 16.0), low=1 / 24, high=730.0)
KNOBS = (Knob("lift", (0.0, 0.02, 0.05, 0.1, 0.2, 0.4), low=0.0, high=3.0), HALF_LIFE)


@torch.no_grad()
def find_demand(model: Trained, content: Tensor, sequences: Sequences, cases: Cases) -> Demand:
    """What ranks `cases` best; `model` was trained on `sequences`. Histories hold lifted items as well, so
    users are asked anew each time.

    `content` (n items, C). By a fixed list of tries, not by a clock. Leaves the towers in evaluation mode.
    """
    if not len(cases):
        return Demand()
    cases = cases.sample(CASES)
    model.eval()
    row = {user: at for at, user in enumerate(cases.user_ids)}
    residuals = model.by_item()
    assert residuals is not None
    items = torch.from_numpy(model.items).to(model.device)
    every = np.arange(len(content))
    aligned = over_items(model, content, every, model.towers.item.aligned)

    way = _way(model, content, cases)

    def value(demand: Demand) -> float:
        lift = _lift(model, sequences, demand, way)
        lifted = residuals.clone()
        lifted[items] += torch.from_numpy(lift.vectors()).to(model.device)
        users = case_vectors(model.towers, content, cases, lifted).cpu()
        vectors = F.normalize(aligned + lifted, dim=-1).T.cpu()

        def score(asked: Cases) -> NDArray[np.float32]:
            scores: NDArray[np.float32] = (users[[row[user] for user in asked.user_ids]] @ vectors).numpy()
            return scores

        return float(evaluate({"": score}, cases)[""].per_case(SELECTED_BY).mean())

    search = Search[Demand](value, math.inf)
    search.attempt(Demand(), *(Demand(0.05, days) for days in HALF_LIFE.values))
    if search.best.lift:
        search.descend(KNOBS, rounds=2)
    return search.best


@torch.no_grad()
def lift_items(model: Trained, content: Tensor, sequences: Sequences, cases: Cases, demand: Demand) -> None:
    """Lift the items of `model`, which was trained on `sequences`, in its residuals."""
    if demand.lift and model.residuals is not None:
        model.add(_lift(model, sequences, demand, _way(model, content, cases)))


def _way(model: Trained, content: Tensor, cases: Cases) -> tuple[float, NDArray[np.float32]]:
    """L, and the direction (D,)."""
    direction: NDArray[np.float32] = mean_user(model, content, cases).cpu().numpy()
    return float(mean_length(model, content)), direction


def _lift(
    model: Trained, sequences: Sequences, demand: Demand, way: tuple[float, NDArray[np.float32]]
) -> Lift:
    length, direction = way
    recent = faded_counts(sequences, len(model.row), demand.half_life_days)[model.items]
    return Lift((demand.lift * length * np.log1p(recent)).astype(np.float32), direction)
