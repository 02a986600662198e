"""The same training written as one would write it first: the peer of benchmarks/training_step.py.

Every history is padded to the longest there may be, every position goes through the towers and the loss, and
masks take out what is not there. Batches, model, optimiser and result are the library's; only `loss` differs.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from learn_features.training.cuts import CutBatch
from learn_features.training.dense_all_action import DenseAllAction
from learn_features.training.next_item import NextItem
from learn_features.training.trained import Trained
from learn_features.training.windows import WindowBatch

_NO_TARGET = -100
_HIDDEN = -1e4


class PaddedNextItem(NextItem):
    """Scores of all items (no catalogue is sampled here) at all `max_length` positions of every row."""

    def loss(self, model: Trained, batch: WindowBatch, rng: np.random.Generator) -> Tensor:
        content, towers, chosen = self._content, model.towers, self.candidates(batch, rng)
        items = _widened(batch.items, self._max_length)
        rows, positions, targets = map(
            content.to_device, (batch.rows, batch.positions, chosen.rows[batch.targets])
        )
        residuals = model.residual(content.to_device(chosen.items))
        catalogue = towers.item(content.rows(chosen.items), residuals)
        place = content.to_device(chosen.rows[items].clip(0))
        users = towers.user.positions(
            content.rows(items),
            residuals=None if residuals is None else residuals[place],
            ages=content.to_device(_widened(batch.ages, self._max_length)),
            item_vectors=catalogue[place],
        )
        target = torch.full_like(place, _NO_TARGET)
        target[rows, positions] = targets
        wanted = target != _NO_TARGET
        column = target.clamp_min(0).unsqueeze(-1)
        with torch.autocast(users.device.type, enabled=False):
            logits = towers.scale * users.float() @ catalogue.float().T
            logits = logits.masked_fill(self._context(batch, place, column, len(chosen.items)), _HIDDEN)
            log_probability = F.log_softmax(logits, dim=-1)
            loss = -log_probability.gather(-1, column).squeeze(-1)
            if self._teacher is not None:
                votes = torch.zeros_like(logits)
                votes[rows, positions] = content.to_device(
                    self._teacher.votes(batch, chosen.drawn, len(chosen.items))
                )
                share = self.votes_share
                taught = -(log_probability * votes).sum(-1)
                loss = (1 - share * votes.sum(-1)) * loss + share * taught
        return (loss * wanted).sum() / wanted.sum()

    def _context(self, batch: WindowBatch, place: Tensor, column: Tensor, count: int) -> Tensor:
        """(B, L, M = `count`) bool: items up to each position, but for its target."""
        lengths = self._content.to_device(batch.lengths)
        real = torch.arange(place.shape[1], device=place.device) < lengths[:, None]
        entered = torch.zeros(*place.shape, count, dtype=torch.uint8, device=place.device)
        entered.scatter_(2, place.unsqueeze(-1), real.unsqueeze(-1).to(torch.uint8))
        so_far = entered.cumsum(1, dtype=torch.uint8) > 0
        return so_far.scatter_(2, column, False)


class PaddedDenseAllAction(DenseAllAction):
    """Every history and every target sequence at its full length through both towers."""

    def loss(self, model: Trained, batch: CutBatch, rng: np.random.Generator) -> Tensor:
        content, towers = self._content, model.towers
        history = content.to_device(_widened(batch.history, self._recipe.history_length))
        targets = content.to_device(_widened(batch.targets, self._recipe.target_length))
        users = towers.user.positions(content[history])
        items = towers.item.targets(content[targets])
        places, target_places, user_real, real = map(
            content.to_device,
            (batch.history_positions, batch.target_positions, batch.history_real, batch.target_real),
        )
        users = users.gather(1, places.unsqueeze(-1).expand(-1, -1, users.shape[-1]))
        items = items.gather(1, target_places.unsqueeze(-1).expand(-1, -1, items.shape[-1]))
        ids = targets.gather(1, target_places)
        mine = torch.eye(len(ids), dtype=torch.bool, device=ids.device)
        equal = (ids[:, :, None, None] == ids) & real[:, :, None, None]
        negative = real & ~mine[:, :, None] & ~equal.any(1)
        if self._recipe.spare_history:
            entries = torch.arange(history.shape[1], device=ids.device)
            entered = entries < content.to_device(batch.history_lengths)[:, None]
            negative &= ~((history[:, :, None, None] == ids) & entered[:, :, None, None]).any(1)
        with torch.autocast(users.device.type, enabled=False):
            scores = towers.scale * torch.einsum("ihd,zkd->ihzk", users.float(), items.float())
            if self._log_frequency is not None:
                scores = scores - self._log_frequency[ids]
            positive = torch.einsum("ihik->ihk", scores)
            others = scores.masked_fill(~negative[:, None], -torch.inf).flatten(2).logsumexp(-1)
            loss = torch.logaddexp(positive, others.unsqueeze(-1)) - positive
        pairs = user_real.unsqueeze(-1) & real.unsqueeze(1)
        return loss.masked_fill(~pairs, 0.0).sum() / pairs.sum()


def _widened(items: np.ndarray, width: int) -> np.ndarray:
    """(B, L) with columns of padding up to `width`."""
    return np.pad(items, ((0, 0), (0, width - items.shape[1])))
