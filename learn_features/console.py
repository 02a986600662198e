"""Where tables, lines and bars go on a terminal."""

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

LOG_WIDTH = 140
"""Columns where nobody says how many there are: of what goes into a log."""


def open_console(**options: Any) -> "Console":
    """A rich console that prints text as it is: ids and titles are data, and may hold brackets or colons."""
    from rich.console import Console

    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        options.setdefault("width", LOG_WIDTH)
    return Console(markup=False, emoji=False, **options)
