"""What the loop asks of a consumer."""

from collections.abc import Sequence
from typing import Protocol

from learn_features.contracts.online import CHECKPOINT_KEY
from learn_features.features.row_store import RowStore
from learn_features.streaming.checkpoints import Checkpoints
from learn_features.streaming.offline_buffer import Append
from learn_features.streaming.records import Event


class GuardedRows:
    """Reads rows together with the checkpoint: what is read belongs to the store this member knows."""

    def __init__(self, store: RowStore, checkpoints: Checkpoints) -> None:
        self._store = store
        self._checkpoints = checkpoints

    def read(self, keys: Sequence[bytes]) -> list[dict[str, bytes]]:
        """Whole rows in one round trip. Raises `StartAgain` if the store was lost or restored."""
        checkpoint, *rows = self._store.read_rows([CHECKPOINT_KEY, *keys])
        self._checkpoints.verify(checkpoint)
        return rows


class Handler(Protocol):
    """Turns a batch of events into rows of the online store, and says what goes to the offline log."""

    topics: tuple[str, ...]
    """Contract topics it reads."""
    role: str
    """Name of its consumer group, after the prefix."""

    max_batch: int | None
    """Most records at once, so that none takes longer than a member may stay away; None: as set."""

    def prepare(self) -> None:
        """Open what the spaces in force need, so that the first event does not wait for it."""
        ...

    def handle(self, events: Sequence[Event], rows: GuardedRows) -> list[Append]:
        """Write the rows that follow from `events`; calling it again with the same ones changes nothing.

        Raises `StoreUnavailable` (the batch is kept and tried again) or `StartAgain`.
        """
        ...
