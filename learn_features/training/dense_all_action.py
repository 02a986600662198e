"""The paper's objective: dense all action over a cut of each user's sequence."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learn_features.data.sequences import Sequences
from learn_features.errors import ConfigError
from learn_features.towers.together import Group, encode_together
from learn_features.training import cuts, losses
from learn_features.training.content_table import ContentTable
from learn_features.training.cuts import CutBatch
from learn_features.training.length_groups import length_groups
from learn_features.training.ranks import Ranks
from learn_features.training.recipe import Recipe
from learn_features.training.trained import Trained

_PADDING = -1
"""Stands for no item among target ids."""


class DenseAllAction:
    """Every sampled history position against every sampled target of the same user.

    The negatives are the targets of the batch's other users, of all ranks.
    """

    def __init__(self, sequences: Sequences, content: ContentTable, recipe: Recipe, ranks: Ranks) -> None:
        self._sequences, self._content, self._recipe, self._ranks = sequences, content, recipe, ranks
        users = int(np.count_nonzero(np.diff(cuts.cut_places(sequences)[0])))
        if users < 2:
            raise ConfigError(
                f"training: {users} users have interactions at two times; dense_all_action takes two at "
                "least, as its negatives are other users' targets"
            )
        self.steps = recipe.steps_of_an_epoch(cuts.steps_per_epoch(users, recipe))
        self._log_frequency: Tensor | None = None
        if recipe.logq:
            counts = np.bincount(sequences.items, minlength=len(content)).clip(1)
            self._log_frequency = content.to_device(np.log(counts / counts.sum()).astype(np.float32))

    def batches(self, rng: np.random.Generator) -> Iterator[CutBatch]:
        return cuts.cut_batches(self._sequences, self._recipe, steps=self.steps, rng=rng)

    def part(self, batch: CutBatch, number: int, of: int) -> CutBatch:
        return batch.part(number, of)

    def pairs(self, batch: CutBatch) -> int:
        return batch.pairs

    def loss(self, model: Trained, batch: CutBatch, rng: np.random.Generator) -> Tensor:
        return self.contrast(self.encode(model, batch), [batch])

    def encode(self, model: Trained, batch: CutBatch) -> tuple[Tensor, Tensor, Tensor]:
        """User vectors (B, Nh, D), item vectors (B, Nt, D), scale ()."""
        content, towers = self._content, model.towers

        def group(items: NDArray[np.int64], gaps: NDArray[np.float32] | None = None) -> Group:
            return Group(
                content.rows(items),
                model.residual(content.to_device(items)),
                None if gaps is None else content.to_device(gaps),
            )

        histories, targets = (
            list(length_groups(lengths, content.device))
            for lengths in (batch.history_lengths, batch.target_lengths)
        )
        gaps = batch.history_gaps if towers.config.time_gaps else None
        users, items = encode_together(
            towers,
            [
                group(batch.history[rows, :longest], None if gaps is None else gaps[rows, :longest])
                for rows, longest in histories
            ],
            [group(batch.targets[rows, :longest]) for rows, longest in targets],
        )
        return (
            self._at(batch.history_positions, histories, users),
            self._at(batch.target_positions, targets, items),
            towers.scale,
        )

    def _at(
        self, places: NDArray[np.int64], groups: list[tuple[NDArray[np.int64], int]], vectors: list[Tensor]
    ) -> Tensor:
        """At `places` (B, N) the `vectors` of groups of rows, (B, N, D)."""
        parts = []
        for (rows, _longest), own in zip(groups, vectors, strict=True):
            index = self._content.to_device(places[rows]).unsqueeze(-1)
            parts.append(own.gather(1, index.expand(-1, -1, own.shape[-1])))
        back = np.argsort(np.concatenate([rows for rows, _ in groups]))
        return torch.cat(parts)[self._content.to_device(back)]

    def contrast(self, vectors: tuple[Tensor, ...], parts: Sequence[CutBatch]) -> Tensor:
        users, items, scale = vectors
        to_device = self._content.to_device
        target_real = np.concatenate([p.target_real for p in parts])
        ids = np.concatenate([np.take_along_axis(p.targets, p.target_positions, 1) for p in parts])
        ids = np.where(target_real, ids, _PADDING)
        rows = np.flatnonzero(np.concatenate([p.history_real for p in parts]))
        first = self._ranks.rank * ids.size
        positives = np.arange(ids.size).reshape(ids.shape) + first
        everybodys = self._ranks.gather(to_device(ids)).flatten()
        candidates = self._ranks.gather(items).flatten(0, 1)
        if self._ranks.count == 1:  # of another rank's targets it is not known here which are real
            columns = np.flatnonzero(target_real)
            positives = np.cumsum(target_real).reshape(ids.shape) - 1
            everybodys, candidates = everybodys[to_device(columns)], candidates[to_device(columns)]
        left_out = [ids, *([self._histories(parts)] if self._recipe.spare_history else [])]
        log_frequency = self._log_frequency
        return losses.dense_all_action(
            users.flatten(0, 1)[to_device(rows)],
            to_device(rows // users.shape[1]),
            candidates,
            everybodys,
            everybodys != _PADDING,
            to_device(positives.clip(0)),
            to_device(target_real),
            to_device(np.concatenate(left_out, axis=1)),
            scale,
            log_frequency=None if log_frequency is None else log_frequency[everybodys.clamp_min(0)],
        )

    @staticmethod
    def _histories(parts: Sequence[CutBatch]) -> NDArray[np.int64]:
        """Items of the sampled histories, (B, H), _PADDING beyond their ends."""
        return np.concatenate(
            [
                np.where(np.arange(p.history.shape[1]) < p.history_lengths[:, None], p.history, _PADDING)
                for p in parts
            ]
        )
