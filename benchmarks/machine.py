"""What every benchmark says of its machine, and how it prints."""

import json
import math
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from learn_features.errors import LearnFeaturesError


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
    """One JSON object on stdout and nothing else, or the table for people. In JSON a number that there is
    not, as of a division by 0, is null."""
    if as_json:
        result = {"benchmark": benchmark, "machine": machine(), "rows": rows, "claims": claims}
        print(json.dumps(_finite(result), allow_nan=False))
    else:
        table()


def run(main: Callable[[], None]) -> None:
    """Call `main`; what is wrong with its input ends it in a line and not in a traceback."""
    try:
        main()
    except LearnFeaturesError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
