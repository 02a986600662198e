"""Training in several processes, as torchrun starts them; one process is the plain case.

Every rank draws the same batch from the same generator and takes its slice of it. Rank 0 alone
validates and writes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from learn_features.errors import ConfigError, ServiceError

PATIENCE = timedelta(hours=24)
"""How long a rank waits for another: rank 0 may be embedding a catalogue."""


@dataclass(frozen=True)
class Ranks:
    """This process among `count`, and where it computes."""

    rank: int
    count: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process validates, writes and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Until every rank is here."""
        if self.count > 1:
            dist.barrier()

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all ranks, without gradient."""
        if self.count > 1:
            value = value.detach().clone()
            dist.all_reduce(value)
        return value

    def told(self, values: list[float]) -> list[float]:
        """What rank 0 says; the others' values do not matter, only how many they are."""
        if self.count == 1:
            return values
        said = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(said, src=0)
        return [float(value) for value in said.cpu()]

    def gather(self, rows: Tensor) -> Tensor:
        """Rows (B, …) of all ranks one after the other, (count · B, …), with gradients to each.

        Every rank must come with as many rows.
        """
        if self.count == 1:
            return rows
        gathered: Tensor = _Gather.apply(rows.contiguous(), self.rank, self.count)
        return gathered


class _Gather(torch.autograd.Function):
    """All ranks' rows forwards, the sum of all ranks' gradients of one's own rows backwards."""

    @staticmethod
    def forward(context: Any, rows: Tensor, rank: int, count: int) -> Tensor:
        context.rank, context.rows = rank, len(rows)
        parts = [torch.empty_like(rows) for _ in range(count)]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        start = context.rank * context.rows
        return total[start : start + context.rows], None, None


def speaks() -> bool:
    """Whether this process is the one that shows progress: not under torchrun, or its first."""
    return not dist.is_torchelastic_launched() or os.environ["RANK"] == "0"


def restarted() -> bool:
    """Whether torchrun has started this process again (`--max-restarts`)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def alone() -> Ranks:
    """One process, on a GPU if there is one."""
    return Ranks(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def joined() -> Iterator[Ranks]:
    """The process group of torchrun (nccl with a GPU a process, else gloo); without torchrun, `alone()`.

    Raises `ConfigError` if a node has fewer GPUs than processes, and `ServiceError` in those that waited for
    one that has stopped: why is its own to say.
    """
    if not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        yield alone()
        return
    device = torch.device("cpu")
    if torch.cuda.is_available():
        local = dist.get_node_local_rank()
        if local >= torch.cuda.device_count():
            raise ConfigError(
                f"training: torchrun started a process {local} on a node with {torch.cuda.device_count()}"
                " GPUs; set --nproc-per-node to their number"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    try:
        _join("nccl" if device.type == "cuda" else "gloo")
        yield Ranks(dist.get_rank(), dist.get_world_size(), device)
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
            raise
        raise ServiceError(
            "training: another process of torchrun has stopped; its message says why"
        ) from None
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _join(backend: str) -> None:
    """The process group of this attempt.

    torchrun's store outlives a restart, with the addresses of the processes that are dead in it: whoever came
    before the others would call those. So each attempt has names of its own there. Nodes count their
    restarts each for itself, so that of one node alone says which attempt it is.
    """
    store, rank, count = next(dist.rendezvous("env://", timeout=PATIENCE))
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
        store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
