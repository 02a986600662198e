"""What the project needs of an online store: five operations on rows, each atomic per row.

One contract suite runs over every implementation (tests/contract). Correctness rests on the
compare-and-set of `replace_rows` and on the revision check of `put_newer`; nothing is locked.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol


class RowWrite(NamedTuple):
    """Rewrite of a row by its owner, valid only if nobody else has written since it was read."""

    key: bytes
    expected_as_of: bytes | None
    """The `as_of` field as read; None: the row had none."""
    fields: Mapping[str, bytes | None]
    """Fields to set; None deletes. Fields not named stay. Sets `as_of` to a later time."""


class CellPut(NamedTuple):
    """Cells of one row, each taken only if its revision is newer than what is there."""

    key: bytes
    cells: Mapping[str, bytes]


class RowStore(Protocol):
    """Rows of cells as described in contracts.online. Raises `StoreUnavailable` when out of reach."""

    def read_rows(self, keys: Sequence[bytes]) -> list[dict[str, bytes]]:
        """Whole rows, in order, empty where there is none. One round trip."""
        ...

    def read_fields(self, keys: Sequence[bytes], fields: Sequence[str]) -> list[list[bytes | None]]:
        """Named fields of rows, in order. One round trip."""
        ...

    def replace_rows(self, writes: Sequence[RowWrite]) -> list[bool]:
        """Write each row whose `as_of` is still the expected one; which were written. One round trip."""
        ...

    def put_newer(self, puts: Sequence[CellPut]) -> list[bool]:
        """Write cells that are strictly newer by (as_of, sequence), and raise the row's `as_of` to the
        newest of them where that is later; whether any cell of the row was written. One round trip."""
        ...

    def scan_keys(self, prefix: bytes) -> Iterator[bytes]:
        """Keys of all rows that begin with `prefix`, in no order; rows written meanwhile may be missed."""
        ...

    def drop_field(self, prefix: bytes, field: str) -> int:
        """Delete one field from all rows whose keys begin with `prefix`; how many had it."""
        ...

    def compare_and_set_fields(
        self, key: bytes, expected: Mapping[str, bytes | None], new: Mapping[str, bytes]
    ) -> bool:
        """Set `new` if every field of `expected` still has its value (None: is absent); for checkpoints."""
        ...

    def close(self) -> None: ...
