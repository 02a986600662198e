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

    stream = options.get("file") or (sys.stderr if options.get("stderr") else sys.stdout)
    if not stream.isatty() and "COLUMNS" not in os.environ:
        options.setdefault("width", LOG_WIDTH)
    return Console(markup=False, emoji=False, **options)
