"""How weights move: AdamW in groups, warm-up and cosine, and their moving average."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from learn_features.training.recipe import Recipe
from learn_features.training.trained import Trained

BETAS = (0.9, 0.98)
_FACTOR = "rate_factor"


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to `peak`, then a cosine to zero at `steps`."""

    peak: float
    steps: int
    warmup: int

    def at(self, step: int) -> float:
        """Learning rate of step `step` (0-based)."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.peak * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def optimiser(model: Trained, recipe: Recipe) -> torch.optim.AdamW:
    """Fused AdamW; biases, norms and scalars do not decay, residuals have a rate and decay of their own."""
    towers = [p for p in model.towers.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in towers if p.ndim >= 2], "weight_decay": recipe.weight_decay, _FACTOR: 1.0},
        {"params": [p for p in towers if p.ndim < 2], "weight_decay": 0.0, _FACTOR: 1.0},
    ]
    if model.residuals is not None:
        groups.append(
            {
                "params": [model.residuals],
                "weight_decay": recipe.residual_decay,
                _FACTOR: recipe.residual_rate,
            }
        )
    return torch.optim.AdamW(groups, lr=0.0, betas=BETAS, fused=True)


def set_rate(optimizer: torch.optim.AdamW, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group[_FACTOR]


def moments(model: Trained, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """AdamW's state by the names of the parameters: `exp_avg/<name>` and so on; empty before a step."""
    return {
        f"{key}/{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def set_moments(model: Trained, optimizer: torch.optim.AdamW, saved: dict[str, Tensor]) -> None:
    """Put back what `moments` gave."""
    for name, parameter in model.named_parameters():
        for key in ("step", "exp_avg", "exp_avg_sq"):
            if f"{key}/{name}" in saved:
                optimizer.state[parameter][key] = saved[f"{key}/{name}"].to(parameter.device)


class Averages:
    """Exponential moving average of all parameters; its first steps count more, as they are all it has."""

    def __init__(self, model: Trained, decay: float) -> None:
        self._model, self._decay = model, decay
        self._parameters = list(model.parameters())
        self._averaged = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step `step` (0-based)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averaged, [p.detach() for p in self._parameters], 1 - decay)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """The model computes with the averages meanwhile."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    def exchange(self) -> None:
        """The model's weights become the averages, and the averages the weights."""
        for place, parameter in enumerate(self._parameters):
            parameter.data, self._averaged[place] = self._averaged[place], parameter.data

    def named(self) -> dict[str, Tensor]:
        """`average/<name>` of each parameter."""
        names = [name for name, _ in self._model.named_parameters()]
        return {f"average/{name}": tensor for name, tensor in zip(names, self._averaged, strict=True)}
