"""The most memory that a stretch of code takes, above what was taken before."""

import ctypes
from pathlib import Path
from types import TracebackType

import torch


class PeakMemory:
    """`with PeakMemory() as memory: …`, then `memory.added` bytes; Linux, or the GPU where torch uses one.

    On a CPU: the kernel's high-water mark of resident memory, reset at the start. `getrusage` will not do:
    its peak is never reset, and a child process begins with its parent's.
    """

    added: int

    def __enter__(self) -> "PeakMemory":
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
            return self
        ctypes.CDLL(None).malloc_trim(0)  # else freed memory of the set-up would be taken for nothing
        Path("/proc/self/clear_refs").write_text("5")
        self._before = _resident("VmRSS")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        on_gpu = torch.cuda.is_available()
        highest = torch.cuda.max_memory_allocated() if on_gpu else _resident("VmHWM")
        self.added = highest - self._before


def _resident(which: str) -> int:
    """Bytes of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{which}:"))
