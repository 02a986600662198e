"""Where tables, lines and bars go on a terminal."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def open_console(**options: Any) -> "Console":
    """A rich console that prints text as it is: ids and titles are data, and may hold brackets or colons."""
    from rich.console import Console

    return Console(markup=False, emoji=False, **options)
