"""Content vectors in one place; batches carry indices and ask for rows."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SHARE_OF_FREE = 0.5
"""The table lies on the GPU where it takes no more than this share of the memory free there."""


class ContentTable:
    """Rows of (n items, C) on the training device.

    On a CPU the array itself is read, a memory map without a copy. On a GPU the table is copied there
    if it fits; else rows are gathered on the CPU into pinned memory and only they travel.
    """

    def __init__(self, content: NDArray[np.float16], device: torch.device) -> None:
        self.device = device
        table = torch.from_numpy(np.ascontiguousarray(content))
        self.resident = device.type == "cpu" or fits(table, device)
        self._table = table.to(device) if self.resident else table

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, items: Tensor) -> Tensor:
        """Vectors (..., C) float32 of `items` (...) int64, which are on the training device."""
        if self.resident:
            return self._table[items].float()
        return self._fetched(items.cpu())

    def rows(self, items: NDArray[np.int64]) -> Tensor:
        """The same for `items` of a batch, which are not on the device yet: nothing waits for them there."""
        if self.resident:
            return self[self.to_device(items)]
        return self._fetched(torch.from_numpy(np.ascontiguousarray(items)))

    def to_device(self, array: NDArray) -> Tensor:
        """An array of a batch on the training device, without waiting for what runs there."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _fetched(self, items: Tensor) -> Tensor:
        shape = (items.numel(), self._table.shape[1])
        rows = torch.empty(shape, dtype=self._table.dtype, pin_memory=self.device.type == "cuda")
        torch.index_select(self._table, 0, items.flatten(), out=rows)
        return rows.to(self.device, non_blocking=True).float().unflatten(0, items.shape)


def fits(table: Tensor, device: torch.device) -> bool:
    """Whether `table` takes at most SHARE_OF_FREE of the GPU's free memory."""
    free, _total = torch.cuda.mem_get_info(device)
    return table.numel() * table.element_size() <= SHARE_OF_FREE * free
