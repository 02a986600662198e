"""What is in demand changes: user vectors say when they were asked for (Covington et al. 2016, "Deep neural
networks for YouTube recommendations": example age)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

KNOTS = 48
STEP_SCALE = 0.2
"""Of a step's part in the sum: KNOTS of them move together."""


class ExampleAge(nn.Module):
    """A vector for each age, linear between knots; age 0 is the end of the log and whatever comes after.

    Knots lie at quantiles of the log's own ages, so that all see as many examples. From the oldest on, each
    is the one before it and a step; steps decay like other weights. So what the last moments of a log hardly
    show is near what came before it, and not near nothing: age 0 is all that is served.
    """

    ages: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("ages", torch.arange(KNOTS, dtype=torch.float32))
        self.steps = nn.Parameter(torch.zeros(KNOTS, dimension))

    @torch.no_grad()
    def fit(self, ages: NDArray[np.float64]) -> None:
        """Place the knots for a log whose entries have these `ages` (n,), seconds before its end; what was
        learned of an age stays with it."""
        knots = np.quantile(ages, np.linspace(0, 1, KNOTS))
        knots = np.maximum.accumulate(knots - np.arange(KNOTS)) + np.arange(KNOTS)  # a second apart
        placed = torch.from_numpy(knots).to(self.ages)
        vectors = self(placed)
        self.ages.copy_(placed)
        self.steps.copy_(-torch.diff(vectors, dim=0, append=torch.zeros_like(vectors[:1])) / STEP_SCALE)

    def forward(self, ages: Tensor | None) -> Tensor:
        """(...) float32 seconds before the end of the log to (..., D); None: age 0, (D,)."""
        if ages is None:
            return STEP_SCALE * self.steps.sum(dim=0)
        knots = STEP_SCALE * self.steps.flip(0).cumsum(dim=0).flip(0)
        ages = ages.clamp_min(0).minimum(self.ages[-1]).contiguous()
        after = torch.searchsorted(self.ages, ages, right=True).clamp(1, KNOTS - 1)
        before = after - 1
        # single precision may bring knots of years ago together
        share = (ages - self.ages[before]) / (self.ages[after] - self.ages[before]).clamp_min(1)
        between: Tensor = torch.lerp(knots[before], knots[after], share.unsqueeze(-1))
        return between
