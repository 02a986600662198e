"""Dense all action on batches: what counts as a negative."""

import numpy as np
import pytest
import torch

from learn_features.towers.model import Towers
from learn_features.training.content_table import ContentTable
from learn_features.training.dense_all_action import DenseAllAction
from learn_features.training.ranks import alone
from learn_features.training.recipe import Recipe
from learn_features.training.trained import Trained
from tests.training.world import ITEMS, TOWERS, content_of


@pytest.mark.parametrize("spared", [True, False])
def test_sparing_the_history_takes_its_items_out_of_the_negatives(make_sequences, spared):
    """Of two users, the first's history is the other's only target: spared, the first has no negative."""
    sequences = make_sequences([[1, 2], [3, 1]])
    content = content_of()
    recipe = Recipe(loss="dense_all_action", users_per_step=2, spare_history=spared)
    ranks = alone()
    task = DenseAllAction(sequences, ContentTable(content, ranks.device), recipe, ranks)
    (batch,) = task.batches(np.random.default_rng(0))
    model = Trained(Towers(TOWERS), np.arange(ITEMS), ITEMS).eval()
    users, items, scale = task.encode(model, batch)
    first = int(batch.history[:, 0].tolist() == [1, 3]) ^ 1  # row of the user with history 1
    score = scale * users[:, 0] @ items[:, 0].T
    other = 1 - first
    expected = torch.nn.functional.softplus(score[other, first] - score[other, other])
    if not spared:
        expected = expected + torch.nn.functional.softplus(score[first, other] - score[first, first])
    torch.testing.assert_close(task.loss(model, batch, np.random.default_rng(0)), expected / 2)
