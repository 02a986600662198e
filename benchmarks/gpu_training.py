"""The paper's preset on a GPU: how much of the device's bf16 peak do training steps reach?"""

import statistics
import time
from itertools import islice

import numpy as np

from benchmarks import generated_log
from benchmarks.contender import OURS, Contender
from benchmarks.flops import bf16_peak
from learn_features.towers.config import TowerConfig
from learn_features.training.ahead import ahead
from learn_features.training.cuts import CutBatch
from learn_features.training.recipe import recipe_preset

ITEMS, USER_LENGTH = 100_000, 1_000
"""Wherever the cut falls, a history of 80 and targets of 40 fit into so many entries, but for 8 and 4 % of
the users."""
WARM, ROUNDS = 5, 5
STEPS = 20
"""A round. In a training nobody waits for the GPU; here it runs empty after each, so they are not short."""


def gpu_mfu(*, compiled: bool) -> dict[str, float]:
    """Median share of the peak over rounds of steps, batches drawn meanwhile, and what it comes from."""
    rng = np.random.default_rng(0)
    per_step = recipe_preset("paper").users_per_step
    users = per_step * (WARM + ROUNDS * STEPS)
    data = generated_log.log_of(np.full(users, USER_LENGTH), ITEMS, rng)
    side = Contender("paper", OURS, data, ITEMS, {"compile_layers": compiled})
    batches = ahead(side.batches())
    for batch in islice(batches, WARM):
        side.update(batch)
    rates, seconds = [], []
    for _ in range(ROUNDS):
        side.wait()
        started = time.perf_counter()
        work = 0.0
        for batch in islice(batches, STEPS):
            side.update(batch)
            work += flops(side.model.towers.config, batch)
        side.wait()
        taken = time.perf_counter() - started
        rates.append(work / taken)
        seconds.append(taken / STEPS)
    peak = bf16_peak()
    return {
        "mfu": statistics.median(rates) / peak,
        "step_seconds": statistics.median(seconds),
        "model_flops_per_second": statistics.median(rates),
        "peak_flops_per_second": peak,
    }


def flops(config: TowerConfig, batch: CutBatch) -> float:
    """Of forward and backward (three times the forward), over real entries only."""
    width, total = config.width, 0.0
    per_layer = 2 * (4 * width**2 + 2 * width * config.feedforward)
    per_entry = config.layers * per_layer + 2 * width * (config.content_dimension + config.dimension)
    for lengths in (batch.history_lengths, batch.target_lengths):
        attention = config.layers * 2 * 2 * width * (lengths * (lengths + 1) / 2).sum()  # QKᵀ and AV, causal
        total += per_entry * lengths.sum() + attention
    return 3 * float(total)
