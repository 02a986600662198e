import numpy as np

from learn_features.evaluation.baselines.ease import EaseParameters
from learn_features.evaluation.baselines.item_cf import ItemCFParameters
from learn_features.training import teacher as teaching
from learn_features.training.teacher import FOLDS, ItemToItemTeacher
from learn_features.training.windows import pairs, window_batches

PARAMETERS = ItemCFParameters(
    window=2, distance=1.0, backward=0.5, shrink=0.0, source=0.0, target=0.0, age=1.0
)


def batches_of(sequences):
    settings = {"max_length": 50, "pairs_per_step": 100, "steps": None, "rng": np.random.default_rng(0)}
    return window_batches(sequences, pairs(sequences), **settings)


def votes_of(teacher, batch, n_items):
    """Votes on the whole catalogue."""
    return teacher.votes(batch, np.arange(n_items), n_items)


def slow_votes(others, context, n_items):
    """By the definition, pair by pair."""
    votes = dict.fromkeys(range(n_items), 0.0)
    for age, item in enumerate(reversed(context), start=1):
        for own in others:
            for i, first in enumerate(own):
                for lag in (1, 2):
                    if i + lag < len(own) and own[i + lag] != first:
                        second = own[i + lag]
                        if first == item:
                            votes[second] += 1 / lag / age
                        if second == item:
                            votes[first] += 0.5 / lag / age
    for item in context:
        votes[item] = 0.0
    total = sum(votes.values())
    return [vote / total if total else 0.0 for vote in votes.values()]


def test_votes_are_those_of_the_other_folds_users(make_sequences):
    rng = np.random.default_rng(1)
    lists = [[*map(int, rng.integers(0, 12, size=rng.integers(2, 7)))] for _ in range(4 * FOLDS)]
    sequences = make_sequences(lists)
    folds = np.random.default_rng(5).permutation(len(lists)) % FOLDS
    teacher = ItemToItemTeacher(sequences, 12, PARAMETERS, rng=np.random.default_rng(5))
    checked = 0
    for batch in batches_of(sequences):
        votes = votes_of(teacher, batch, 12)
        for pair, (row, position) in enumerate(zip(batch.rows, batch.positions, strict=True)):
            user = batch.users[row]
            others = [own for other, own in enumerate(lists) if folds[other] != folds[user]]
            context = batch.items[row, : position + 1].tolist()
            np.testing.assert_allclose(votes[pair], slow_votes(others, context, 12), atol=1e-6)
            checked += 1
    assert checked > 30


def test_who_shares_items_with_nobody_is_not_taught(make_sequences):
    sequences = make_sequences([[2 * user, 2 * user + 1] for user in range(2 * FOLDS)])
    teacher = ItemToItemTeacher(sequences, 4 * FOLDS, PARAMETERS, rng=np.random.default_rng(0))
    for batch in batches_of(sequences):
        # with the user's own pair counted, its target would have it all
        assert not votes_of(teacher, batch, 4 * FOLDS).any()


def test_sequences_read_backwards_belong_to_the_same_users(make_sequences):
    sequences = make_sequences([[0, 1, 2], [1, 2], [0, 2], [3, 0], [2, 3]])
    teacher = ItemToItemTeacher(sequences, 4, PARAMETERS, rng=np.random.default_rng(0))
    both = sequences.both_ways()
    assert both.items[len(sequences.items) :].tolist() == [2, 1, 0, 2, 1, 2, 0, 0, 3, 3, 2]
    mirrored = both.times_us[len(sequences.items) :]
    np.testing.assert_array_equal(mirrored[:5], [2_000_000, 3_000_000, 4_000_000, 3_000_000, 4_000_000])
    for batch in batches_of(both):
        alone = batch.positions == 0  # one entry says nothing of direction
        votes = votes_of(teacher, batch, 4)
        users = batch.users[batch.rows] % len(sequences)
        for pair in np.flatnonzero(alone):
            others = [i for i in range(5) if teacher.fold[i] != teacher.fold[users[pair]]]
            lists = [sequences.items[slice(*sequences.offsets[i : i + 2])].tolist() for i in others]
            context = [int(batch.items[batch.rows[pair], 0])]
            np.testing.assert_allclose(votes[pair], slow_votes(lists, context, 4), atol=1e-6)


def test_an_item_keeps_its_heaviest_votes(make_sequences, monkeypatch):
    monkeypatch.setattr(teaching, "NEIGHBOURS", 1)
    sequences = make_sequences([[0, 1]] * (3 * FOLDS) + [[0, 2]] * FOLDS)
    teacher = ItemToItemTeacher(sequences, 3, PARAMETERS, rng=np.random.default_rng(0))
    for batch in batches_of(sequences):
        assert (votes_of(teacher, batch, 3) == [0, 1, 0]).all()


def test_ease_votes_are_those_of_the_other_folds_users(make_sequences):
    """Against a ridge regression for each item on all others, which is what EASE's closed form solves."""
    rng = np.random.default_rng(2)
    lists = [[*map(int, rng.choice(9, size=rng.integers(2, 6), replace=False))] for _ in range(4 * FOLDS)]
    sequences = make_sequences(lists)
    parameters = EaseParameters(penalty=3.0, age=1.0)
    teacher = ItemToItemTeacher(sequences, 9, parameters, rng=np.random.default_rng(5))
    weights_without = {}
    for fold in range(FOLDS):
        taken = np.zeros((len(lists), 9))
        for user, own in enumerate(lists):
            taken[user, own] = teacher.fold[user] != fold
        weights = np.zeros((9, 9))
        for item in range(9):
            others = np.delete(np.arange(9), item)
            gram = taken[:, others].T @ taken[:, others] + 3.0 * np.eye(8)
            weights[others, item] = np.linalg.solve(gram, taken[:, others].T @ taken[:, item])
        weights_without[fold] = weights.clip(min=0)
    checked = 0
    for batch in batches_of(sequences):
        votes = votes_of(teacher, batch, 9)
        for pair, (row, position) in enumerate(zip(batch.rows, batch.positions, strict=True)):
            context = batch.items[row, : position + 1]
            weights = weights_without[teacher.fold[batch.users[row]]]
            wanted = (weights[context] / np.arange(len(context), 0, -1)[:, None]).sum(0)
            wanted[context] = 0
            np.testing.assert_allclose(votes[pair], wanted / max(wanted.sum(), 1e-30), atol=1e-5)
            checked += 1
    assert checked > 30


def test_votes_on_some_items_are_shared_among_these(make_sequences):
    rng = np.random.default_rng(3)
    sequences = make_sequences([[*map(int, rng.integers(0, 12, size=6))] for _ in range(3 * FOLDS)])
    teacher = ItemToItemTeacher(sequences, 12, PARAMETERS, rng=np.random.default_rng(5))
    columns = np.full(12, -1)
    columns[[9, 2, 7, 4]] = [3, 0, 1, 5]
    for batch in batches_of(sequences):
        some, every = teacher.votes(batch, columns, 6), votes_of(teacher, batch, 12)
        wanted = np.zeros_like(some)
        wanted[:, [3, 0, 1, 5]] = every[:, [9, 2, 7, 4]]
        wanted /= np.maximum(wanted.sum(axis=1, keepdims=True), 1e-30)
        np.testing.assert_allclose(some, wanted, rtol=1e-5)
        assert some.any(axis=1).sum() > 10
