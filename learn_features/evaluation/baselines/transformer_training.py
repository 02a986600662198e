"""Training of the next-item transformer, and its scores."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learn_features.data.cases import Cases
from learn_features.data.sequences import Sequences
from learn_features.evaluation.baselines.transformer import MAX_LENGTH, Transformer, TransformerParameters
from learn_features.evaluation.harness import Scorer

TARGETS_PER_STEP = 1_024
PATIENCE = 3
"""Epochs without a better validation value after which training stops."""


@dataclass(frozen=True)
class TrainedTransformer:
    """`stop` epochs are the best by `value`; the model is of as many, or, where tuning went on to see that,
    of up to `PATIENCE` more."""

    model: Transformer
    stop: int
    value: float


def train_transformer(
    fitted_on: Sequences,
    items: Callable[[], nn.Module],
    n_items: int,
    parameters: TransformerParameters,
    *,
    seed: int,
    validate: Callable[[Scorer], float] | None = None,
    out_of_time: Callable[[], bool] = lambda: False,
) -> TrainedTransformer:
    """AdamW with a linear warm-up of one epoch and a cosine to zero after `epochs`.

    With `validate`, it is asked after every epoch, and training ends early without progress or time; the
    best epoch counts. Without, `stop` epochs are trained. `items` makes the module of item vectors; items
    that `fitted_on` lacks are no candidates in the loss. The same seed gives the same model.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rng = np.random.default_rng(seed)
    starts, ends = _windows(fitted_on)
    seen, places = np.unique(fitted_on.items, return_inverse=True)
    candidates = torch.from_numpy(seen.astype(np.int64)).to(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = Transformer(items(), n_items, parameters).to(device)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay
        )
        steps = max(1, sum(1 for _ in _batches(starts, ends, np.random.default_rng(seed))))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, _warm_cosine(steps, steps * parameters.epochs)
        )
        best, best_value = 0, -math.inf
        last = parameters.stop if validate is None else parameters.epochs
        for epoch in range(1, last + 1):
            model.train()
            for rows in _batches(starts, ends, rng):
                loss = _loss(model, candidates, places, starts[rows], ends[rows])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            if validate is None:
                continue
            value = validate(scorer(model))
            if value > best_value:
                best, best_value = epoch, value
            if epoch - best >= PATIENCE or (epoch < last and out_of_time()):
                break
    return TrainedTransformer(model, best or last, best_value)


def scorer(model: Transformer) -> Scorer:
    """Scores of all items at a history's newest entry; an empty history scores 0 everywhere.

    The model is taken as it is now: it must not be trained on in between.
    """
    model.eval()
    with torch.inference_mode():
        table = model.table()

    def score(cases: Cases) -> np.ndarray:
        model.eval()
        lengths = np.minimum(np.diff(cases.history_offsets), MAX_LENGTH)
        ends = cases.history_offsets[1:]
        with torch.inference_mode():
            history, _ = _padded(cases.history_items, ends - lengths, ends)
            users = model.users(table, history.to(table.device))
            last = torch.from_numpy(np.maximum(lengths - 1, 0)).to(table.device)
            scores = model.logits(users[torch.arange(len(last), device=table.device), last], table)
        found = scores.cpu().numpy()
        found[lengths == 0] = 0
        return np.asarray(found, dtype=np.float32)

    return score


def _windows(fitted_on: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of pieces of at most MAX_LENGTH + 1 entries, cut from each user's newest backwards.

    Pieces share one entry: the last of the older is the first history entry of the newer.
    """
    starts, ends = [], []
    low, high = fitted_on.offsets[:-1].copy(), fitted_on.offsets[1:].copy()
    while True:
        useful = high - low >= 2
        low, high = low[useful], high[useful]
        if len(low) == 0:
            break
        start = np.maximum(low, high - MAX_LENGTH - 1)
        starts.append(start)
        ends.append(high)
        high = start + 1
    if not starts:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return np.concatenate(starts), np.concatenate(ends)


def _batches(starts: np.ndarray, ends: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of windows with about TARGETS_PER_STEP targets, like lengths together, in random order."""
    lengths = ends - starts - 1
    order = np.lexsort((rng.random(len(lengths)), lengths))
    step = np.cumsum(lengths[order]) // TARGETS_PER_STEP
    parts = np.split(order, np.flatnonzero(np.diff(step)) + 1) if len(order) else []
    for number in rng.permutation(len(parts)):
        yield parts[number]


def _loss(
    model: Transformer, candidates: Tensor, places: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> Tensor:
    """Cross-entropy over `candidates`; `places` are interactions as positions among them."""
    device = candidates.device
    history, real = _padded(places, starts, ends - 1)
    following, _ = _padded(places, starts + 1, ends)
    table = model.table()[candidates]
    users = model.users(table, history.to(device))[real.to(device)]
    return F.cross_entropy(model.logits(users, table, candidates), following[real].to(device))


def _padded(items: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[Tensor, Tensor]:
    """int64 (B, L) padded with 0 on the right, and bool (B, L)."""
    lengths = ends - starts
    place = np.arange(max(1, int(lengths.max(initial=0))))
    real = place < lengths[:, None]
    padded = np.where(real, items[np.where(real, starts[:, None] + place, 0)] if len(items) else 0, 0)
    return torch.from_numpy(padded.astype(np.int64)), torch.from_numpy(real)


def _warm_cosine(warm: int, total: int) -> Callable[[int], float]:
    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm))))

    return factor
