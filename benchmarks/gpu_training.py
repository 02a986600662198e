"""The paper's preset on a GPU: how much of the device's bf16 peak do training steps reach?"""

import statistics
import time

import numpy as np
import torch

from learn_features.data.sequences import Sequences
from learn_features.towers.config import TowerConfig, tower_preset
from learn_features.towers.model import Towers
from learn_features.training.content_table import ContentTable
from learn_features.training.cuts import CutBatch
from learn_features.training.dense_all_action import DenseAllAction
from learn_features.training.optimiser import optimiser, set_rate
from learn_features.training.ranks import Ranks, alone
from learn_features.training.recipe import recipe_preset
from learn_features.training.step import Step
from learn_features.training.trained import Trained

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""bf16 FLOP/s without sparsity, by a part of the device's name; others are measured."""
ITEMS, CONTENT, STEPS, WARM = 100_000, 384, 30, 5


def gpu_mfu() -> dict[str, float]:
    """Median share of the peak over steps, and what it was computed from."""
    ranks: Ranks = alone()
    rng = np.random.default_rng(0)
    recipe = recipe_preset("paper", max_steps=10**9)
    config = tower_preset("paper", content_dimension=CONTENT, max_length=recipe.history_length)
    log = _sequences(recipe.users_per_step * (STEPS + WARM), rng)
    table = ContentTable(rng.normal(size=(ITEMS, CONTENT)).astype(np.float16), ranks.device)
    model = Trained(Towers(config), np.arange(ITEMS), ITEMS).to(ranks.device).train()
    task = DenseAllAction(log, table, recipe, ranks)
    optimizer = optimiser(model, recipe)
    set_rate(optimizer, 1e-4)
    step = Step(model, task, recipe, ranks, seed=0, phase=0)
    rates, seconds = [], []
    for number, batch in enumerate(task.batches(rng)):
        torch.cuda.synchronize()
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        step(batch, number)
        optimizer.step()
        torch.cuda.synchronize()
        taken = time.perf_counter() - started
        if number >= WARM:
            seconds.append(taken)
            rates.append(flops(config, batch) / taken)
    peak = _peak()
    return {"mfu": statistics.median(rates) / peak, "step_s": statistics.median(seconds), "peak_flops": peak}


def flops(config: TowerConfig, batch: CutBatch) -> float:
    """Of forward and backward (three times the forward), over real entries only."""
    width, total = config.width, 0.0
    per_layer = 2 * (4 * width**2 + 2 * width * config.feedforward)
    per_entry = config.layers * per_layer + 2 * width * (config.content_dimension + config.dimension)
    for lengths in (_lengths(batch.history), _lengths(batch.targets)):
        attention = config.layers * 2 * 2 * width * (lengths * (lengths + 1) / 2).sum()  # QKᵀ and AV, causal
        total += per_entry * lengths.sum() + attention
    return 3 * float(total)


def _lengths(items: np.ndarray) -> np.ndarray:
    """All sequences here are longer than what is sampled of them: every entry is real."""
    return np.full(len(items), items.shape[1])


def _sequences(users: int, rng: np.random.Generator) -> Sequences:
    """History 80 and target 40 fit into 400 entries wherever the cut falls, but for few."""
    length = 400
    items = rng.integers(0, ITEMS, size=users * length).astype(np.int32)
    offsets = np.arange(0, len(items) + 1, length)
    times = np.tile(np.arange(length) * 1_000_000, users)
    return Sequences([str(user) for user in range(users)], offsets, items, times)


def _peak() -> float:
    name = torch.cuda.get_device_name()
    for part, peak in PEAKS.items():
        if part in name:
            return peak
    a = torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda")
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - started)
