"""Next-item softmax: every entry is predicted from those before it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from learn_features.data.sequences import Sequences
from learn_features.errors import ConfigError
from learn_features.training import losses, windows
from learn_features.training.content_table import ContentTable
from learn_features.training.item_to_item import ItemToItem
from learn_features.training.recipe import Recipe
from learn_features.training.teacher import ItemToItemTeacher
from learn_features.training.trained import Trained
from learn_features.training.windows import WindowBatch


class NextItem:
    """Softmax over the trained catalogue (or a sample) at all positions.

    Items that no sequence holds are no negatives: new items are not pushed away from everybody. Items of
    the context are none either: a ranking leaves them out, and a user vector made of their vectors could
    only move away from them by losing what they say.

    Args:
        item_to_item: what tuned item-to-item models found in this log: how much backward pairs count in
            item-CF decides how often a sequence is read backwards, and the better model's votes are the
            teacher's. None: neither.
        asked_at_history_end: whether an age is that of the history's end, as leave-one-out asks, or
            that of the target, as users are served at one time whenever their histories ended.
    """

    def __init__(
        self,
        sequences: Sequences,
        content: ContentTable,
        recipe: Recipe,
        max_length: int,
        item_to_item: ItemToItem | None = None,
        *,
        asked_at_history_end: bool = False,
    ) -> None:
        self._content, self._recipe, self._max_length = content, recipe, max_length
        self._asked_at_history_end = asked_at_history_end
        self._users, self._end_us = len(sequences), sequences.newest_us
        self._backward_share = 0.0
        if item_to_item and recipe.backwards:
            self._backward_share = item_to_item.cf.backward / (1 + item_to_item.cf.backward)
        trained = np.unique(sequences.items).astype(np.int64)
        self._trained = torch.from_numpy(trained).to(content.device)
        self._row = torch.full((len(content),), -1, dtype=torch.int64, device=content.device)
        self._row[self._trained] = torch.arange(len(self._trained), device=content.device)
        self._teacher: ItemToItemTeacher | None = None
        if item_to_item and recipe.teacher_share and not self._sampled:
            folds = np.random.default_rng(0)
            self._teacher = ItemToItemTeacher(sequences, len(content), item_to_item.best, trained, rng=folds)
        whole = windows.steps_per_epoch(windows.pairs(sequences), recipe.pairs_per_step)
        self.steps = min(whole, max(1, recipe.max_steps // recipe.epochs))
        self._sequences = sequences.both_ways() if self._backward_share else sequences
        self._pairs = windows.pairs(self._sequences)

    @property
    def _sampled(self) -> bool:
        return len(self._trained) > self._recipe.max_candidates

    def batches(self, rng: np.random.Generator) -> Iterator[WindowBatch]:
        wanted = None
        if self._backward_share:
            backwards = rng.random(self._users) < self._backward_share
            wanted = np.concatenate([~backwards, backwards])
        return windows.window_batches(
            self._sequences,
            self._pairs,
            max_length=self._max_length,
            pairs_per_step=self._recipe.pairs_per_step,
            steps=self.steps,
            rng=rng,
            wanted=wanted,
            end_us=self._end_us,
            asked_at_history_end=self._asked_at_history_end,
        )

    def pairs(self, batch: WindowBatch) -> int:
        return len(batch.targets)

    def part(self, batch: WindowBatch, number: int, of: int) -> WindowBatch:
        """By pairs, which are in the order of rows: a row at the edge is in both parts."""
        if len(batch.targets) < of:
            raise ConfigError(
                f"training: a batch of {len(batch.targets)} pairs cannot be cut into {of} parts (processes ×"
                " accumulate); use fewer, or more pairs_per_step"
            )
        edges = np.array([number, number + 1]) * len(batch.targets) // of
        chosen = slice(*edges.tolist())
        first, last = batch.rows[chosen][[0, -1]].tolist()
        rows = slice(first, last + 1)
        return replace(
            batch,
            users=batch.users[rows],
            items=batch.items[rows],
            gaps=batch.gaps[rows],
            ages=batch.ages[rows],
            lengths=batch.lengths[rows],
            rows=batch.rows[chosen] - first,
            positions=batch.positions[chosen],
            targets=batch.targets[chosen],
        )

    def loss(self, model: Trained, batch: WindowBatch, rng: np.random.Generator) -> Tensor:
        content, towers = self._content, model.towers
        items, rows, positions, targets = (
            content.to_device(part) for part in (batch.items, batch.rows, batch.positions, batch.targets)
        )
        gaps = content.to_device(batch.gaps) if towers.config.time_gaps else None
        ages = content.to_device(batch.ages) if towers.config.example_age else None
        if self._sampled:
            vectors = towers.user.positions(
                content[items], residuals=model.residual(items), gaps=gaps, ages=ages
            )
            users = vectors[rows, positions]
            chosen = rng.choice(len(self._trained), size=self._recipe.max_candidates, replace=False)
            negatives = self._trained[content.to_device(chosen)]
            distinct, which = torch.unique(targets, return_inverse=True)
            return losses.sampled_softmax(
                users,
                towers.item(content[distinct], model.residual(distinct))[which],
                targets,
                towers.item(content[negatives], model.residual(negatives)),
                negatives,
                len(self._trained),
                towers.scale,
                seen=self._seen(items, rows, positions, self._columns(negatives), len(negatives)),
            )
        residuals = model.residual(self._trained)
        catalogue = towers.item(content[self._trained], residuals)
        place = self._row[items].clamp_min(0)
        users = towers.user.positions(
            content[items],
            residuals=None if residuals is None else residuals[place],
            gaps=gaps,
            ages=ages,
            item_vectors=catalogue[place],
        )[rows, positions]
        votes = content.to_device(self._teacher.votes(batch)) if self._teacher else None
        return losses.full_softmax(
            users,
            catalogue,
            self._row[targets],
            towers.scale,
            seen=self._seen(items, rows, positions, self._row, len(catalogue)),
            votes=votes,
            votes_share=self._recipe.teacher_share,
        )

    def _columns(self, candidates: Tensor) -> Tensor:
        """Where each item of the catalogue stands among `candidates`; -1: it does not."""
        columns = torch.full_like(self._row, -1)
        columns[candidates] = torch.arange(len(candidates), device=columns.device)
        return columns

    def _seen(self, items: Tensor, rows: Tensor, positions: Tensor, columns: Tensor, none: int) -> Tensor:
        """Columns (P, L) of each pair's context; `none` where there is nothing, or no such column."""
        place = torch.arange(items.shape[1], device=items.device)
        context = torch.where(place <= positions[:, None], columns[items][rows], -1)
        return torch.where(context < 0, none, context)
