"""Forward and backward of one batch: in one pass or several, on one rank or several.

The gradients are those of the mean over the whole batch in every case. Where an objective contrasts all
pairs of a batch (dense all action), several passes go: encode every part without keeping the graph,
contrast all vectors at once, then encode each part again and send the vectors' gradients through it
(GradCache, Gao et al. 2021); dropout repeats itself, since it is seeded.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from learn_features.training import seeds
from learn_features.training.compiled import compile_layers
from learn_features.training.objectives import Contrast, Objective
from learn_features.training.ranks import Ranks
from learn_features.training.recipe import Recipe
from learn_features.training.trained import Trained


def low_precision(recipe: Recipe, device: torch.device) -> bool:
    """Whether the recipe has bf16 arithmetic on this device; `auto` takes no GPU's emulation of it."""
    if recipe.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return recipe.precision == "bf16"


class Step:
    """Gradients of `model` on batches of one objective.

    Args:
        seed, phase: with the number of the step they decide dropout and draws.
    """

    def __init__(
        self, model: Trained, objective: Objective, recipe: Recipe, ranks: Ranks, *, seed: int, phase: int
    ) -> None:
        self._model, self._objective, self._recipe, self._ranks = model, objective, recipe, ranks
        self._seed, self._phase = seed, phase
        self._autocast = partial(
            torch.autocast, ranks.device.type, torch.bfloat16, low_precision(recipe, ranks.device)
        )
        if recipe.compile_layers and ranks.device.type == "cuda":
            compile_layers(model, self._autocast)
        forward = _Forward(model, objective, self._autocast)
        self._forward: nn.Module = forward
        if ranks.count > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # its new name is not in torch 2.8 yet
                self._forward = DistributedDataParallel(forward, broadcast_buffers=False)

    def __call__(self, batch: Any, number: int) -> Tensor:
        """Add the gradients of `batch`, step `number` of the phase; returns its loss, a float32 scalar."""
        passes, ranks = self._recipe.accumulate, self._ranks
        parts = [
            self._objective.part(batch, ranks.rank * passes + place, ranks.count * passes)
            for place in range(passes)
        ] if passes * ranks.count > 1 else [batch]  # fmt: skip
        if isinstance(self._objective, Contrast) and passes > 1:
            loss = self._contrasted(self._objective, parts, self._objective.pairs(batch), number)
        else:
            loss = self._separate(parts, self._objective.pairs(batch), number)
        return ranks.sum(loss)

    def _separate(self, parts: Sequence[Any], pairs: int, number: int) -> Tensor:
        """Every part by itself, weighted by its share of all pairs."""
        total = torch.zeros((), device=self._ranks.device)
        for place, part in enumerate(parts):
            with self._synced(place == len(parts) - 1):
                loss = self._encoded(place, number, part) * (self._objective.pairs(part) / pairs)
                self._backward(loss)
            total += loss.detach()
        return total

    def _contrasted(self, objective: Contrast, parts: Sequence[Any], pairs: int, number: int) -> Tensor:
        encoded = []
        with torch.no_grad():
            for place, part in enumerate(parts):
                self._seed_dropout(place, number)
                with self._autocast():
                    encoded.append(objective.encode(self._model, part))
        *rows, scales = zip(*encoded, strict=True)
        leaves = [torch.cat(part).detach().requires_grad_() for part in rows]
        scale = scales[0].detach().clone().requires_grad_()
        share = sum(self._objective.pairs(part) for part in parts) / pairs
        loss = objective.contrast((*leaves, scale), parts) * share
        loss.backward()
        sizes = [len(vectors[0]) for vectors in encoded]
        gradients = zip(*(_gradient(leaf).split(sizes) for leaf in leaves), strict=True)
        for place, (part, own) in enumerate(zip(parts, gradients, strict=True)):
            with self._synced(place == len(parts) - 1):
                self._backward(self._encoded(place, number, part, (*own, _gradient(scale) / len(parts))))
        return loss.detach()

    def _encoded(
        self, place: int, number: int, part: Any, gradients: tuple[Tensor, ...] | None = None
    ) -> Tensor:
        self._seed_dropout(place, number)
        draws = seeds.generator(self._seed, self._phase, "draws", number)
        result: Tensor = self._forward(part, draws, gradients)
        return result

    def _seed_dropout(self, place: int, number: int) -> None:
        place += self._ranks.rank * self._recipe.accumulate
        seeds.seed_torch(self._seed, self._phase, "dropout", number, place)

    def _backward(self, loss: Tensor) -> None:
        (loss * self._ranks.count).backward()  # DDP takes the mean over ranks; wanted is the sum

    @contextmanager
    def _synced(self, synced: bool) -> Iterator[None]:
        """Gradients go to the other ranks in the last pass only."""
        whole = synced or not isinstance(self._forward, DistributedDataParallel)
        with nullcontext() if whole else self._forward.no_sync():
            yield


class _Forward(nn.Module):
    """An objective as a module, as DDP wants it."""

    def __init__(self, model: Trained, objective: Objective, autocast: Callable[[], torch.autocast]) -> None:
        super().__init__()
        self.model = model
        self._objective, self._autocast = objective, autocast

    def forward(self, part: Any, draws: Any, gradients: tuple[Tensor, ...] | None) -> Tensor:
        """The part's loss; with `gradients` of its vectors, a scalar whose backward sends them on."""
        with self._autocast():
            if gradients is None:
                return self._objective.loss(self.model, part, draws)
            assert isinstance(self._objective, Contrast)
            vectors = self._objective.encode(self.model, part)
        sent = [(vector * gradient).sum() for vector, gradient in zip(vectors, gradients, strict=True)]
        return torch.stack([part.float() for part in sent]).sum()


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad
