"""Next-item softmax: every entry is predicted from those before it."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learn_features.data.sequences import Sequences
from learn_features.errors import ConfigError
from learn_features.training import losses, windows
from learn_features.training.candidates import Candidates, Catalogue
from learn_features.training.content_table import ContentTable
from learn_features.training.item_to_item import ItemToItem
from learn_features.training.recipe import Recipe
from learn_features.training.teacher import TAUGHT_ITEMS, ItemToItemTeacher
from learn_features.training.trained import Trained
from learn_features.training.windows import WindowBatch

log = logging.getLogger(__name__)


class NextItem:
    """Softmax over the trained catalogue (or a sample of it) at all positions.

    Items that no sequence holds are no negatives, unless they are among the `untaken`: new items are not
    pushed away from everybody. Items of the context are none either: a ranking leaves them out, and a user
    vector made of their vectors could only move away from them by losing what they say.

    Args:
        item_to_item: what tuned item-to-item models found in this log: how much backward pairs count in
            item-CF decides how often a sequence is read backwards, and how many pairs within a moment are
            learnt; the better model's votes are the teacher's. None: nothing of it.
        untaken: items of the catalogue that nobody took and that are not new, rising (`candidates.py`).
        asked_at_history_end: whether an age is that of the history's end, as leave-one-out asks, or
            that of the target, as users are served at one time whenever their histories ended.
        own_ends: whether ages are counted from the user's own end, as for a log that has an order alone, or
            from the log's.
    """

    def __init__(
        self,
        sequences: Sequences,
        content: ContentTable,
        recipe: Recipe,
        max_length: int,
        item_to_item: ItemToItem | None = None,
        *,
        untaken: NDArray[np.int64] | None = None,
        asked_at_history_end: bool = False,
        own_ends: bool = False,
    ) -> None:
        self._content, self._recipe, self._max_length = content, recipe, max_length
        self._asked_at_history_end = asked_at_history_end
        self._users, self._ends_us = len(sequences), sequences.ends_us(own=own_ends)
        self._backward = item_to_item.cf.backward if item_to_item and recipe.backwards else 0.0
        trained = sequences.taken
        self._catalogue = Catalogue(
            trained,
            trained[:0] if untaken is None else untaken,
            len(content),
            size=recipe.max_candidates,
            untaken_weight=recipe.untaken_weight,
        )
        self._teacher: ItemToItemTeacher | None = None
        if item_to_item and recipe.teacher_share:
            if len(trained) <= TAUGHT_ITEMS:
                folds = np.random.default_rng(0)
                self._teacher = ItemToItemTeacher(sequences, len(content), item_to_item.best, rng=folds)
            else:
                log.info("%d trained items are too many for a teacher", len(trained))
        self._sequences, self._pairs = sequences, windows.pairs(sequences)
        count = len(self._pairs.target)
        if self._backward:
            within = len(windows.pairs(sequences, within_moments=True).target) - count
            count += round(min(1.0, self._backward) * within)
            self._sequences = sequences.both_ways()
            self._ends_us = np.concatenate((self._ends_us, 2 * sequences.newest_us - self._ends_us))
            self._pairs = windows.pairs(self._sequences, within_moments=True)
        self._pairs_per_step = recipe.pairs_of_a_step(count)
        self.votes_share = recipe.votes_share(count)
        self.steps = recipe.steps_of_an_epoch(windows.steps_per_epoch(count, self._pairs_per_step))

    def batches(self, rng: np.random.Generator) -> Iterator[WindowBatch]:
        wanted, sequences, pairs = None, self._sequences, self._pairs
        if self._backward:
            backwards = rng.random(self._users) < self._backward / (1 + self._backward)
            wanted = np.concatenate([~backwards, backwards])
            sequences = windows.moments_shuffled(sequences, rng)
            pairs = windows.some_within_moments(sequences, pairs, self._backward, rng)
        return windows.window_batches(
            sequences,
            pairs,
            max_length=self._max_length,
            pairs_per_step=self._pairs_per_step,
            steps=self.steps,
            rng=rng,
            wanted=wanted,
            ends_us=self._ends_us,
            asked_at_history_end=self._asked_at_history_end,
        )

    def pairs(self, batch: WindowBatch) -> int:
        return len(batch.targets)

    def part(self, batch: WindowBatch, number: int, of: int) -> WindowBatch:
        """By pairs, which are in the order of rows: a row at the edge is in both parts."""
        if len(batch.targets) < of:
            raise ConfigError(
                f"training: a batch of {len(batch.targets)} pairs cannot be cut into {of} parts (processes ×"
                " accumulate); use fewer, or more training.recipe.pairs_per_step where the log has as many"
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

    def candidates(self, batch: WindowBatch, rng: np.random.Generator) -> Candidates:
        return self._catalogue.draw(np.concatenate((batch.targets, batch.items.ravel())), rng)

    def loss(self, model: Trained, batch: WindowBatch, rng: np.random.Generator) -> Tensor:
        content, towers = self._content, model.towers
        chosen = self.candidates(batch, rng)
        items = content.to_device(chosen.items)
        rows, positions = content.to_device(batch.rows), content.to_device(batch.positions)
        place = content.to_device(chosen.rows[batch.items].clip(0))  # of padding: any
        residuals = model.residual(items)
        vectors = towers.item(content.rows(chosen.items), residuals)
        users = towers.user.positions(
            content.rows(batch.items),
            residuals=None if residuals is None else residuals[place],
            gaps=content.to_device(batch.gaps) if towers.config.time_gaps else None,
            ages=content.to_device(batch.ages) if towers.config.example_age else None,
            item_vectors=vectors[place],
        )[rows, positions]
        votes = self._teacher.votes(batch, chosen.drawn, len(items)) if self._teacher else None
        return losses.full_softmax(
            users,
            vectors,
            content.to_device(chosen.rows[batch.targets]),
            towers.scale,
            seen=_context(place, rows, positions, len(items)),
            votes=None if votes is None else content.to_device(votes),
            votes_share=self.votes_share,
            log_weights=None if chosen.log_weights is None else content.to_device(chosen.log_weights),
        )


def _context(place: Tensor, rows: Tensor, positions: Tensor, none: int) -> Tensor:
    """Candidates (P, L) of each pair's context, `none` beyond its end; of `place` (B, L)."""
    entries = torch.arange(place.shape[1], device=place.device)
    return torch.where(entries <= positions[:, None], place[rows], none)
