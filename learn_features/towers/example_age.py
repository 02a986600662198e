"""What is in demand changes: user vectors say when they were asked for (Covington et al. 2016, "Deep neural
networks for YouTube recommendations": example age)."""

import torch
from torch import Tensor, nn

FINEST_SECONDS = 6 * 3600.0
"""Ages are told apart by their logarithm, but below about this not at all."""
KNOTS_A_DOUBLING = 2
KNOTS = 32
"""Enough for 30 years."""


class ExampleAge(nn.Module):
    """A vector for each age, linear between knots. Age 0 is the end of the log and whatever comes after."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.knots = nn.Parameter(torch.zeros(KNOTS, dimension))

    def forward(self, ages: Tensor | None) -> Tensor:
        """(...) float32 seconds before the end of the log to (..., D); None: age 0, (D,)."""
        if ages is None:
            return self.knots[0]
        place = KNOTS_A_DOUBLING * torch.log2(1 + ages.clamp_min(0) / FINEST_SECONDS)
        place = place.clamp_max(KNOTS - 1.001)
        before = place.floor()
        share = (place - before).unsqueeze(-1)
        row = before.long()
        between: Tensor = torch.lerp(self.knots[row], self.knots[row + 1], share)
        return between
