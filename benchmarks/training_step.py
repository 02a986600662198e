"""How fast is a training step? Ours against the same model trained plainly, on padded histories.

    .venv/bin/python benchmarks/training_step.py [--items FILE --interactions FILE] --json

Both take the same batches of the same log, in turns. The plain one (benchmarks/padded.py) is what one writes
first: every history as long as the longest there may be, all positions through towers and loss, masks. That
both come to the same loss and the same gradients is checked before anything is timed. Without data, lengths
and popularity are drawn like those of `amazon_scientific` (benchmarks/generated_log.py); with data, baskets
are read as if one second lay between entries, since a plain row has one target a position.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import generated_log
from benchmarks.contender import OURS, PLAIN, Contender, check_same, interactions
from benchmarks.gpu_training import gpu_mfu
from benchmarks.machine import emit, run
from benchmarks.peak_memory import PeakMemory
from learn_features.data.sequences import Sequences

SMALL, PAPER = "small", "paper-small"
TIMES = 16

log = Console(stderr=True)


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    users: int = 8_442
    items: int = generated_log.ITEMS
    growth_users: int = 2_000
    growth_items: int = 1_000
    """Few enough for nearly all to be trained at 1 ×, else the softmax would grow with the log."""
    steps: int = 6
    repeats: int = 5
    growth_repeats: int = 3
    peaks: tuple[str, ...] = (SMALL, PAPER)
    recipe: dict[str, int] = field(default_factory=dict)
    """Changes of the presets."""


QUICK = Size(
    users=200, items=200, growth_users=30, growth_items=20, steps=2, repeats=1, growth_repeats=1,
    peaks=(SMALL,), recipe={"pairs_per_step": 100, "users_per_step": 30},
)  # fmt: skip


def compare(preset: str, data: Sequences, items: int, size: Size) -> tuple[list[dict[str, Any]], float]:
    """Rows of both implementations, taking turns, and how many times faster ours is."""
    ours, plain = (Contender(preset, m, data, items, size.recipe, calm=True) for m in (OURS, PLAIN))
    check_same(ours, plain, list(itertools.islice(ours.batches(), 2)))
    log.print(f"{preset}: same loss, same gradients")
    sides = {method: Contender(preset, method, data, items, size.recipe) for method in (OURS, PLAIN)}
    started = time.perf_counter()
    epoch = list(sides[OURS].batches())
    drawing = (time.perf_counter() - started) / len(epoch)
    batches = epoch[: size.steps]
    for side in sides.values():
        side.timed(batches[0])  # allocations and kernels of the first step
    seconds: dict[str, list[float]] = {method: [] for method in sides}
    for repeat in range(size.repeats):
        taken = dict.fromkeys(sides, drawing * len(batches))
        for number, batch in enumerate(batches):
            for method in list(sides)[:: 1 if (repeat + number) % 2 else -1]:
                taken[method] += sides[method].timed(batch)
        for method, total in taken.items():
            seconds[method].append(total)
    learnt = sum(map(interactions, batches))
    speedup = statistics.median(p / o for o, p in zip(seconds[OURS], seconds[PLAIN], strict=True))
    rows = [
        {
            "preset": preset,
            "method": method,
            "step_seconds": statistics.median(taken) / len(batches),
            "interactions_per_second": learnt / statistics.median(taken),
            "interactions_a_step": learnt / len(batches),
        }
        for method, taken in seconds.items()
    ]
    return rows, speedup


SAME_STEPS = {"min_epoch_steps": 1}
"""Whatever the log's length; elsewhere a short one has smaller steps, which cost more a pair."""


def growth(size: Size) -> tuple[list[dict[str, Any]], float]:
    """Rows of an epoch at 1 × and at 16 × the users, and 16 × against 16 epochs at 1 ×, in turns."""
    sides, logs = [], []
    for users in (size.growth_users, TIMES * size.growth_users):
        rng = np.random.default_rng(users)
        logs.append(generated_log.log_of(generated_log.lengths(users, rng), size.growth_items, rng))
        sides.append(Contender(SMALL, OURS, logs[-1], size.growth_items, {**size.recipe, **SAME_STEPS}))
    one, many = sides
    per_interaction = len(logs[0].items) * TIMES / len(logs[1].items)  # the draws are not exactly 1 : 16
    totals: list[tuple[float, float]] = []
    for repeat in range(size.growth_repeats):
        batches, share = many.batches(repeat), -(-many.task.steps // TIMES)
        once = all_of_it = 0.0
        for turn in range(TIMES):
            once += _run(one, one.batches(TIMES * repeat + turn))
            all_of_it += _run(many, itertools.islice(batches, share))
        totals.append((once, all_of_it + _run(many, batches)))
    rows = [
        {
            "preset": SMALL,
            "method": f"epoch at {times} ×",
            "interactions": len(data.items),
            "users": len(data),
            "trained_items": len(side.model.items),
            "epoch_seconds": statistics.median(total[place] for total in totals) * times / TIMES,
            "setup_seconds": side.setup_seconds,
        }
        for place, (times, side, data) in enumerate(zip((1, TIMES), sides, logs, strict=True))
    ]
    return rows, statistics.median(many / once * per_interaction for once, many in totals)


def _run(side: Contender, batches: Iterator[Any]) -> float:
    """Seconds that drawing and learning `batches` take."""
    started = time.perf_counter()
    for batch in batches:
        side.update(batch)
    side.wait()
    return time.perf_counter() - started


def peaks(presets: Sequence[str], asked: argparse.Namespace) -> dict[tuple[str, str], int]:
    """Peak bytes that steps add, of each preset and implementation, each in a process of its own."""
    data = ["--items", asked.items, "--interactions", asked.interactions] if asked.interactions else []
    found = {}
    for preset, method in itertools.product(presets, (OURS, PLAIN)):
        command = [sys.executable, __file__, "--peak", preset, method, *data, *["--quick"][: asked.quick]]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found[preset, method] = int(json.loads(done.stdout))
    return found


def peak(preset: str, method: str, data: Sequences, items: int, size: Size) -> int:
    """Peak bytes that steps add to model, data and optimiser."""
    side = Contender(preset, method, data, items, size.recipe)
    batches = list(itertools.islice(side.batches(), size.steps))
    side.update(side.task.part(batches[0], 0, 8))  # moments of the optimiser, libraries' own buffers
    with PeakMemory() as memory:
        for batch in batches:
            side.update(batch)
    return memory.added


def main(arguments: list[str] | None = None) -> None:
    asked = _parser().parse_args(arguments)
    if bool(asked.items) != bool(asked.interactions):
        sys.exit("training_step: name both --items FILE and --interactions FILE, or neither")
    size = QUICK if asked.quick else Size()
    data, items = read(asked, size)
    if data.lengths.max(initial=0) < 2:
        sys.exit(f"training_step: no user in {asked.interactions} has two interactions to learn from")
    if asked.peak:
        preset, method = asked.peak
        print(peak(preset, method, data, items, size))
        return
    if asked.gpu:
        if not torch.cuda.is_available():
            sys.exit("training_step: --gpu needs a CUDA device, and there is none")
        rows, claims = on_the_gpu()
        emit("training_step", rows, claims, asked.json, lambda: show(rows, claims))
        return
    rows, speedups = [], {}
    for preset in (SMALL, PAPER):
        compared, speedups[preset] = compare(preset, data, items, size)
        rows += compared
    memory = peaks(size.peaks, asked)
    for line in rows:
        line["peak_bytes"] = memory.get((line["preset"], line["method"]))
    grown, growth_16x = growth(size)
    claims = {
        "speedup": speedups[SMALL],
        "growth_16x": growth_16x,
        "peak_memory_ratio": memory[SMALL, OURS] / memory[SMALL, PLAIN],
    }
    rows += grown
    if torch.cuda.is_available():
        measured, claimed = on_the_gpu()
        rows += measured
        claims |= claimed
    else:
        log.print("training_step: gpu_mfu is not claimed, there is no GPU")
    emit("training_step", rows, claims, asked.json, lambda: show(rows, claims))


def on_the_gpu() -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows of the preset as it is and with layers that are not compiled, and what is claimed of the first."""
    compiled, plain = (gpu_mfu(compiled=compiled) for compiled in (True, False))
    rows = [
        {"preset": "paper", "method": method, **measured}
        for method, measured in (("on the GPU", compiled), ("on the GPU, layers not compiled", plain))
    ]
    return rows, {"gpu_mfu": compiled["mfu"]}


def read(asked: argparse.Namespace, size: Size) -> tuple[Sequences, int]:
    """The log and how many items its catalogue has."""
    if not asked.interactions:
        rng = np.random.default_rng(0)
        drawn = generated_log.lengths(size.users, rng)
        return generated_log.log_of(drawn, size.items, rng), size.items
    from benchmarks.world import read as read_files
    from learn_features.config import load
    from learn_features.contracts import columns as c
    from learn_features.data.item_index import ItemIndex
    from learn_features.data.sequences import sequences

    config = load()
    dataset = read_files(asked.items, asked.interactions, config.data)
    for warning in dataset.warnings:
        log.print(f"warning: {warning}", soft_wrap=True)
    index = ItemIndex(dataset.items[c.ITEM_ID])
    return generated_log.in_order(sequences(dataset.interactions, index, config.history)), len(index)


def show(rows: list[dict[str, Any]], claims: dict[str, float]) -> None:
    table = Table("preset", "", "ms a step", "interactions/s", "peak added")
    for row in rows:
        if "step_seconds" in row:
            peak_bytes, rate = row.get("peak_bytes"), row.get("interactions_per_second")
            table.add_row(
                row["preset"],
                row["method"],
                f"{row['step_seconds'] * 1e3:.0f}",
                "" if rate is None else f"{rate:,.0f}",
                "" if peak_bytes is None else f"{peak_bytes / 2**20:,.0f} MiB",
            )
    out = Console()
    out.print(table)
    for name, value in claims.items():
        out.print(f"{name:20} {value:.3f}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", metavar="FILE", help="items table, with --interactions")
    parser.add_argument("--interactions", metavar="FILE", help="take the lengths and items of these")
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--gpu", action="store_true", help="gpu_mfu and nothing else")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="one object on stdout and nothing else")
    return parser


if __name__ == "__main__":
    run(main)
