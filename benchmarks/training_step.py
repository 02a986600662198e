"""How fast is a training step? Ours against a plain padded one: same model, same batch, same loss.

    .venv/bin/python benchmarks/training_step.py [--items FILE --interactions FILE] --json

The plain one is what one writes first: every history padded to the rule's longest, all positions through
the towers and the loss, padding masked at the end. Both losses and gradients are compared before any time
counts; then the two take turns, and medians are reported. Without data, lengths are drawn like those of a
5-core catalogue of some 8,000 users: 5 + ⌊exp(max(N(0.7, 0.95), 0)) − 1⌋.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from benchmarks.gpu_training import gpu_mfu
from benchmarks.machine import emit
from learn_features.contracts import columns as c
from learn_features.data.item_index import ItemIndex
from learn_features.data.sequences import Sequences, sequences
from learn_features.towers.config import tower_preset
from learn_features.towers.model import Towers
from learn_features.training.content_table import ContentTable
from learn_features.training.next_item import NextItem
from learn_features.training.optimiser import optimiser, set_rate
from learn_features.training.ranks import alone
from learn_features.training.recipe import Recipe, recipe_preset
from learn_features.training.step import Step
from learn_features.training.trained import Trained
from learn_features.training.windows import WindowBatch

MAX_LENGTH, C = 50, 384
log = Console(stderr=True)


class Bench:
    """The small preset without a teacher, on given sequences; dropout is off for the comparison only."""

    def __init__(self, log_of_users: Sequences, n_items: int, *, dropout: bool = True) -> None:
        changes: dict[str, Any] = {} if dropout else {"dropout": 0.0, "content_dropout": 0.0}
        changes |= {"content_dimension": C, "max_length": MAX_LENGTH}
        self.recipe: Recipe = recipe_preset(
            "small", teacher_share=0.0, max_steps=10**9, residual_dropout=0.3 if dropout else 0.0
        )
        torch.manual_seed(0)
        towers = Towers(tower_preset("small", **changes))
        content = np.random.default_rng(0).normal(size=(n_items, C)).astype(np.float16)
        self.table = ContentTable(content, torch.device("cpu"))
        self.trained = np.unique(log_of_users.items).astype(np.int64)
        self.model = Trained(towers, self.trained, n_items, row_dropout=self.recipe.residual_dropout).train()
        self.task = NextItem(log_of_users, self.table, self.recipe, MAX_LENGTH)
        self.optimizer = optimiser(self.model, self.recipe)
        set_rate(self.optimizer, 1e-4)
        self._step = Step(self.model, self.task, self.recipe, alone(), seed=0, phase=0)
        self._columns = torch.full((n_items,), len(self.trained))
        self._columns[torch.from_numpy(self.trained)] = torch.arange(len(self.trained))

    def batches(self) -> list[WindowBatch]:
        """One epoch."""
        return list(self.task.batches(np.random.default_rng(1)))

    def ours(self, batch: WindowBatch) -> float:
        """Gradients of one batch; its loss."""
        self.optimizer.zero_grad(set_to_none=True)
        return float(self._step(batch, 0))

    def plain(self, batch: WindowBatch) -> float:
        """The same by padding."""
        self.optimizer.zero_grad(set_to_none=True)
        items, targets = padded(batch)
        known = self.model.residual(torch.from_numpy(self.trained))
        catalogue = self.model.towers.item(self.table[torch.from_numpy(self.trained)], known)
        residuals = self.model.residual(items)
        users = self.model.towers.user.positions(self.table[items], residuals=residuals).flatten(0, 1)
        logits = self.model.towers.scale * users @ catalogue.T
        place = torch.arange(MAX_LENGTH)
        columns = self._columns[items]
        seen = torch.where(place <= place[:, None], columns[:, None, :], len(self.trained)).flatten(0, 1)
        wanted = torch.where(targets >= 0, self._columns[targets.clamp_min(0)], -100).flatten()
        hidden = torch.zeros(len(seen), len(self.trained) + 1, dtype=torch.bool).scatter_(1, seen, True)
        hidden.scatter_(1, wanted.clamp_min(0)[:, None], False)
        loss = F.cross_entropy(logits.masked_fill(hidden[:, :-1], -1e4), wanted)
        loss.backward()
        return float(loss.detach())

    def gradients(self) -> dict[str, torch.Tensor]:
        return {n: p.grad.clone() for n, p in self.model.named_parameters() if p.grad is not None}


def padded(batch: WindowBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Items and targets (B, MAX_LENGTH) int64; -1 where nothing is to be predicted."""
    items = np.zeros((len(batch.items), MAX_LENGTH), dtype=np.int64)
    items[:, : batch.items.shape[1]] = batch.items
    targets = np.full_like(items, -1)
    targets[batch.rows, batch.positions] = batch.targets
    return torch.from_numpy(items), torch.from_numpy(targets)


def simulated(users: int, n_items: int) -> Sequences:
    """Lengths as in the module's text, items by a power law, one interaction a second."""
    rng = np.random.default_rng(0)
    lengths = 5 + np.floor(np.expm1(np.maximum(rng.normal(0.7, 0.95, users), 0))).astype(np.int64)
    weights = (np.arange(n_items) + 10.0) ** -0.8
    items = rng.choice(n_items, size=lengths.sum(), p=weights / weights.sum()).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Sequences([str(u) for u in range(users)], offsets, items, np.arange(len(items)) * 1_000_000)


def compare(bench: Bench) -> None:
    """Both implementations: one loss, one gradient."""
    batch = next(b for b in bench.batches() if len(b.items) > 1)
    ours, ours_gradients = bench.ours(batch), bench.gradients()
    plain, plain_gradients = bench.plain(batch), bench.gradients()
    assert abs(ours - plain) < 1e-4 * abs(plain), (ours, plain)
    for name, gradient in plain_gradients.items():
        torch.testing.assert_close(ours_gradients[name], gradient, rtol=2e-3, atol=2e-5, msg=name)


def interleaved(bench: Bench, batches: list[WindowBatch]) -> dict[str, float]:
    """Median seconds of a step, the two taking turns on the same batches."""
    seconds: dict[str, list[float]] = {"ours": [], "plain padded": []}
    for batch in batches:
        for name, step in (("ours", bench.ours), ("plain padded", bench.plain)):
            started = time.perf_counter()
            step(batch)
            bench.optimizer.step()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def epoch_seconds(users: int, n_items: int, repeats: int) -> float:
    """Median time of one epoch, batches included."""
    bench = Bench(simulated(users, n_items), n_items)
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        for batch in bench.task.batches(np.random.default_rng(1)):
            bench.ours(batch)
            bench.optimizer.step()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def peak_memory(which: str, quick: bool) -> float:
    """Peak resident bytes that steps add, in a process of its own."""
    command = [sys.executable, __file__, "--memory", which, *(["--quick"] if quick else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def added_memory(which: str, quick: bool) -> int:
    n_items = 300 if quick else 4_385
    bench = Bench(simulated(300 if quick else 8_442, n_items), n_items)
    step: Callable[[WindowBatch], float] = bench.ours if which == "ours" else bench.plain
    batches = bench.batches()[: 2 if quick else 6]
    before = memory_kib("VmRSS")
    for batch in batches:
        step(batch)
        bench.optimizer.step()
    return (memory_kib("VmHWM") - before) * 1024


def memory_kib(which: str) -> int:
    """A line of /proc/self/status. `getrusage` will not do: a child begins with its parent's peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {which}: peak memory is measured on Linux only")


def main(arguments: list[str] | None = None) -> None:
    asked = _parser().parse_args(arguments)
    if asked.memory:
        print(added_memory(asked.memory, asked.quick))
        return
    data, n_items = _data(asked)
    compare(Bench(data, n_items, dropout=False))
    log.print("same loss, same gradients")
    bench = Bench(data, n_items)
    batches = bench.batches()[: 3 if asked.quick else 15]
    pairs = statistics.median(len(batch.targets) for batch in batches)
    seconds = interleaved(bench, batches)
    base, catalogue = (40, 200) if asked.quick else (600, 1_000)
    small, large = epoch_seconds(base, catalogue, 3), epoch_seconds(16 * base, catalogue, 1)
    memory = {name: peak_memory(name, asked.quick) for name in ("ours", "plain")}
    rows = [
        {
            "method": name,
            "step_seconds": taken,
            "interactions_per_second": pairs / taken,
            "added_memory": memory[key],
        }
        for (name, taken), key in zip(seconds.items(), memory, strict=True)
    ]
    claims = {
        "speedup": seconds["plain padded"] / seconds["ours"],
        "growth_16x": large / (16 * small),
        "peak_memory_ratio": memory["ours"] / memory["plain"],
    }
    if torch.cuda.is_available():
        measured = gpu_mfu()
        rows.append({"method": "paper preset on the GPU", **measured})
        claims["gpu_mfu"] = measured["mfu"]
    else:
        log.print("gpu_mfu: not measured, there is no GPU")
    emit("training_step", rows, claims, asked.json, lambda: show(rows, claims))


def _data(asked: argparse.Namespace) -> tuple[Sequences, int]:
    if not asked.interactions:
        n_items = 300 if asked.quick else 4_385
        return simulated(300 if asked.quick else 8_442, n_items), n_items
    from benchmarks.quality import read
    from learn_features.contracts.history import HistoryRule

    dataset = read(asked.items, asked.interactions)
    index = ItemIndex(dataset.items[c.ITEM_ID])
    return sequences(dataset.interactions, index, HistoryRule()), len(index)


def show(rows: list[dict[str, Any]], claims: dict[str, float]) -> None:
    table = Table("method", "ms a step", "interactions/s", "memory added")
    for row in rows:
        if "step_seconds" in row:
            cells = f"{row['step_seconds'] * 1e3:.0f}", f"{row['interactions_per_second']:,.0f}"
            table.add_row(row["method"], *cells, f"{row['added_memory'] / 2**20:,.0f} MiB")
    out = Console()
    out.print(table)
    for name, value in claims.items():
        out.print(f"{name:20} {value:.3f}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", metavar="FILE", help="items table, with --interactions")
    parser.add_argument("--interactions", metavar="FILE", help="take the lengths of these")
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--memory", choices=["ours", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="one object on stdout and nothing else")
    return parser


if __name__ == "__main__":
    main()
