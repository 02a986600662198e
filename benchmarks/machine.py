"""What every benchmark says of its machine, and how it prints."""

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def machine() -> dict[str, Any]:
    """Processor, cores, memory, versions and the accelerator, as they are here."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def emit(
    benchmark: str,
    rows: list[dict[str, Any]],
    claims: dict[str, float],
    as_json: bool,
    table: Callable[[], None],
) -> None:
    """One JSON object on stdout and nothing else, or the table for people."""
    if as_json:
        print(json.dumps({"benchmark": benchmark, "machine": machine(), "rows": rows, "claims": claims}))
    else:
        table()


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
