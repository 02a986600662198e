import math

import pytest
import torch
from torch.nn import functional as F

from learn_features.training import fused_softmax
from learn_features.training.losses import dense_all_action, full_softmax


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def dense(
    users, items, ids, user_real, item_real, scale, *, mine=slice(None), seen=None, packed=True, **more
):
    """`dense_all_action` of users `mine` in padded form: (B, Nh, D), (Z, Nt, D), `ids` (Z, Nt) and masks.

    `seen` (B, H): what else is left out of each user's negatives. Not `packed`: targets with their padding.
    """
    own_real = user_real[mine]
    owners = own_real.nonzero()[:, 0]
    columns = torch.arange(ids.numel()).view_as(ids)
    kept = torch.ones(ids.numel(), dtype=torch.bool)
    if packed:
        columns, kept = (item_real.flatten().cumsum(0) - 1).view_as(ids), item_real.flatten()
    left_out = torch.where(item_real, ids, -1)[mine]
    if seen is not None:
        left_out = torch.cat((left_out, seen), 1)
    items, ids, real = items.flatten(0, 1)[kept], ids.flatten()[kept], item_real.flatten()[kept]
    more = {name: value.flatten()[kept] for name, value in more.items()}
    positives, own = columns[mine].clamp_min(0), item_real[mine]
    return dense_all_action(
        users[mine][own_real], owners, items, ids, real, positives, own, left_out, scale, **more
    )


def slow_dense_all_action(users, items, ids, user_real, item_real, scale, frequency=None, seen=None):
    """The formula, one term after the other; with logQ, e^s / frequency stands for e^s."""
    total, pairs = 0.0, 0

    def of(z, k):
        return 1.0 if frequency is None else float(frequency[int(ids[z, k])])

    for i in range(len(users)):
        own = {int(ids[i, k]) for k in range(ids.shape[1]) if item_real[i, k]}
        own |= set() if seen is None else set(seen[i].tolist())
        for j in range(users.shape[1]):
            negatives = sum(
                math.exp(scale * float(users[i, j] @ items[z, k])) / of(z, k)
                for z in range(len(users))
                for k in range(ids.shape[1])
                if z != i and item_real[z, k] and int(ids[z, k]) not in own
            )
            for k in range(ids.shape[1]):
                if user_real[i, j] and item_real[i, k]:
                    right = math.exp(scale * float(users[i, j] @ items[i, k])) / of(i, k)
                    total -= math.log(right / (right + negatives))
                    pairs += 1
    return total / pairs


@pytest.mark.parametrize("packed", [True, False])
def test_dense_all_action_is_the_papers_formula(packed):
    users, items, ids, user_real, item_real = batch_of_four()
    loss = dense(users, items, ids, user_real, item_real, torch.tensor(7.0), packed=packed)
    expected = slow_dense_all_action(users, items, ids, user_real, item_real, 7.0)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def batch_of_four():
    users, items = unit(4, 3, 5), unit(4, 2, 5, seed=1)
    ids = torch.tensor([[1, 2], [2, 3], [4, 4], [5, 1]])  # 2 and 1 are shared; 4 repeats
    user_real = torch.tensor([[True] * 3, [True, False, False], [True, True, False], [True] * 3])
    item_real = torch.tensor([[True, True], [True, True], [True, False], [True, False]])
    return users, items, ids, user_real, item_real


def test_items_of_the_history_can_be_spared():
    users, items, ids, user_real, item_real = batch_of_four()
    seen = torch.tensor([[4, -1], [5, 4], [-1, -1], [3, 2]])
    scale = torch.tensor(7.0)
    loss = dense(users, items, ids, user_real, item_real, scale, seen=seen)
    expected = slow_dense_all_action(users, items, ids, user_real, item_real, 7.0, seen=seen)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert float(loss) < float(dense(users, items, ids, user_real, item_real, scale))


def test_logq_divides_by_how_often_an_item_is_seen():
    users, items, ids, user_real, item_real = batch_of_four()
    frequency = torch.tensor([0.0, 0.4, 0.3, 0.05, 0.2, 0.05])
    loss = dense(
        users, items, ids, user_real, item_real, torch.tensor(7.0), log_frequency=frequency.log()[ids]
    )
    expected = slow_dense_all_action(users, items, ids, user_real, item_real, 7.0, frequency)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    plain = dense(users, items, ids, user_real, item_real, torch.tensor(7.0))
    assert float(loss) != pytest.approx(float(plain), rel=1e-2)


def test_users_of_one_process_see_the_targets_of_all():
    """Users 0–1 and 2–3 apart, each against all targets: weighted by pairs, the loss of all four."""
    users, items, ids, user_real, item_real = batch_of_four()
    scale = torch.tensor(7.0)
    whole = dense(users, items, ids, user_real, item_real, scale)
    halves = [
        dense(users, items, ids, user_real, item_real, scale, mine=part)
        for part in (slice(0, 2), slice(2, 4))
    ]
    pairs = [3 * 2 + 1 * 2, 2 * 1 + 3 * 1]
    joined = (pairs[0] * halves[0] + pairs[1] * halves[1]) / sum(pairs)
    torch.testing.assert_close(joined, whole)


def test_a_batch_without_pairs_has_no_loss():
    users, items, ids, user_real, item_real = batch_of_four()
    nobody = torch.zeros_like(user_real)
    assert float(dense(users, items, ids, nobody, item_real, torch.tensor(7.0))) == 0.0


def test_losses_compute_in_float32_under_autocast():
    users, items = unit(3, 4), unit(6, 4, seed=1)
    positives, scale = torch.tensor([0, 5, 2]), torch.tensor(14.0)
    exact = full_softmax(users, items, positives, scale)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(full_softmax(users, items, positives, scale), exact)


def test_an_item_of_the_same_user_is_no_negative():
    """Two users with the same single target: nothing is left to be told apart."""
    loss = dense(
        unit(2, 1, 5).requires_grad_(), unit(2, 1, 5, seed=1), torch.tensor([[3], [3]]),
        torch.ones(2, 1, dtype=torch.bool), torch.ones(2, 1, dtype=torch.bool), torch.tensor(10.0),
    )  # fmt: skip
    assert float(loss.detach()) == 0.0
    loss.backward()


def test_dense_all_action_gradients_are_finite_with_padding_and_clashes():
    users, items = unit(3, 2, 5).requires_grad_(), unit(3, 2, 5, seed=1).requires_grad_()
    ids = torch.tensor([[1, 2], [1, 2], [1, 2]])
    real = torch.tensor([[True, True], [True, True], [True, False]])
    dense(users, items, ids, real, real, torch.tensor(10.0)).backward()
    assert torch.isfinite(users.grad).all()
    assert torch.isfinite(items.grad).all()


def test_full_softmax_by_loops():
    users, items = unit(3, 4), unit(6, 4, seed=1)
    positives = torch.tensor([0, 5, 2])
    expected = 0.0
    for user, right in zip(users, positives, strict=True):
        scores = [math.exp(3.0 * float(user @ item)) for item in items]
        expected -= math.log(scores[int(right)] / sum(scores)) / 3
    assert float(full_softmax(users, items, positives, torch.tensor(3.0))) == pytest.approx(
        expected, rel=1e-5
    )


def slow_full_softmax(users, items, positives, scale, seen, votes, share, weights=None):
    """Row by row: what was seen is left out unless it is the positive; votes take their share.

    An item is a negative `weights` times, and once where it is the positive.
    """
    total = 0.0
    for row in range(len(users)):
        left_out = {int(i) for i in seen[row] if int(i) < len(items)} - {int(positives[row])}
        kept = [i for i in range(len(items)) if i not in left_out]
        times = {i: 1.0 if weights is None or i == int(positives[row]) else weights[i] for i in kept}
        log_sum = math.log(sum(times[i] * math.exp(scale * float(users[row] @ items[i])) for i in kept))
        logs = {i: scale * float(users[row] @ items[i]) - log_sum for i in kept}
        own = share if float(votes[row].sum()) else 0.0
        total -= (1 - own) * logs[int(positives[row])]
        total -= own * sum(float(votes[row, i]) * logs[i] for i in kept)
    return total / len(users)


def test_full_softmax_leaves_out_what_was_seen_and_shares_with_votes():
    users, items = unit(4, 8), unit(7, 8, seed=1)
    positives = torch.tensor([0, 3, 6, 2])
    seen = torch.tensor([[1, 2], [7, 7], [6, 5], [0, 7]])  # 7: none; the third has taken its positive before
    votes = torch.tensor(
        [[0.5, 0, 0, 0.5, 0, 0, 0], [0] * 7, [0.2, 0, 0.8, 0, 0, 0, 0], [0, 0, 0, 1.0, 0, 0, 0]]
    )
    loss = full_softmax(users, items, positives, torch.tensor(6.0), seen=seen, votes=votes, votes_share=0.4)
    assert float(loss) == pytest.approx(
        slow_full_softmax(users, items, positives, 6.0, seen, votes, 0.4), rel=1e-5
    )


def test_rows_of_the_full_softmax_stand_for_as_many_items_as_they_weigh():
    users, items = unit(4, 8), unit(7, 8, seed=1)
    positives = torch.tensor([0, 3, 6, 2])
    weights = [3.0, 3.0, 0.0, 3.0, 3.0, 3.0, 0.0]  # the last two positives are no negatives of anyone
    seen, votes = torch.tensor([[1, 2], [7, 7], [6, 5], [0, 7]]), torch.zeros(4, 7)
    votes[1, 4] = votes[2, 1] = 1.0
    loss = full_softmax(
        users, items, positives, torch.tensor(6.0), seen=seen, votes=votes, votes_share=0.4,
        log_weights=torch.tensor(weights).log(),
    )  # fmt: skip
    expected = slow_full_softmax(users, items, positives, 6.0, seen, votes, 0.4, weights)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    loss = full_softmax(users, items, positives, torch.tensor(6.0), log_weights=torch.tensor(weights).log())
    nothing = torch.full_like(seen, 7)
    expected = slow_full_softmax(users, items, positives, 6.0, nothing, torch.zeros(4, 7), 0.4, weights)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("chunk", [1, 14, 10_000])
@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_of_the_full_softmax_are_autograds(monkeypatch, chunk, taught, weighted):
    monkeypatch.setitem(fused_softmax.CHUNK_SCORES, "cpu", chunk)
    users, items = unit(5, 8).requires_grad_(), unit(7, 8, seed=1).requires_grad_()
    scale = torch.tensor(6.0, requires_grad=True)
    positives = torch.tensor([0, 3, 6, 2, 2])
    seen = torch.tensor([[1, 2], [7, 7], [6, 5], [0, 7], [2, 2]])
    votes = F.one_hot(torch.tensor([4, 5, 1, 3, 6]), 7) * torch.tensor([1.0, 1.0, 0.0, 0.5, 1.0])[:, None]
    more = {"votes": votes, "votes_share": 0.4} if taught else {}
    if weighted:
        more["log_weights"] = torch.tensor([2.0, 2.0, 0.0, 2.0, 2.0, 2.0, 2.0]).log()
    loss = full_softmax(users, items, positives, scale, seen=seen, **more)
    found = torch.autograd.grad(3 * loss, (users, items, scale))

    hidden = F.one_hot(seen, 8).any(dim=1)[:, :7] & (F.one_hot(positives, 7) == 0)
    table = scale * users @ items.T
    target = F.one_hot(positives, 7).float()
    if taught:
        target = (1 - 0.4 * votes.sum(dim=1, keepdim=True)) * target + 0.4 * votes
    counted = table.masked_fill(hidden, -torch.inf)
    if weighted:
        counted = torch.where(F.one_hot(positives, 7) == 1, counted, counted + more["log_weights"])
    rows = counted.logsumexp(dim=1) - (target * table).sum(dim=1)
    torch.testing.assert_close(loss, rows.mean())
    for own, plain in zip(found, torch.autograd.grad(3 * rows.mean(), (users, items, scale)), strict=True):
        torch.testing.assert_close(own, plain)
