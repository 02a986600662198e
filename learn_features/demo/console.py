"""The demo's terminal: one line a step with expected and taken seconds, a bar while it runs, tables."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from learn_features.console import open_console

_WIDTH = 100
_NAME_WIDTH = 46


class Step:
    """A running step; renders itself as one line with a bar."""

    def __init__(self, console: Console, title: str, expected: float) -> None:
        self._console = console
        self._title = title
        self._expected = expected
        self._started = time.monotonic()
        self._now = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def note(self, text: str) -> None:
        """Print a line below the step."""
        self._console.print(f"    {text}", highlight=False, soft_wrap=True)

    def table(self, table: Table) -> None:
        self._console.print(table)

    def progress(self, what: str, done: int, total: int) -> None:
        """Show what is being done; `total` 0 where it is not counted."""
        self._now = f"{what} {done}/{total}" if total else what

    def __rich__(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=self._expected, completed=min(self.seconds, 0.98 * self._expected), width=24)
        grid.add_row(self._title, bar, f"{self.seconds:.0f} of about {self._expected:.0f} s", self._now)
        return grid


class Terminal:
    """Prints steps and tables; `title` and totals come from the caller."""

    def __init__(self, console: Console | None = None) -> None:
        # Without a terminal there is no width to keep to.
        self.console = console or open_console(highlight=False)
        if not self.console.is_terminal:
            self.console = open_console(file=self.console.file, highlight=False, width=_WIDTH)

    @contextmanager
    def step(self, title: str, expected: float) -> Iterator[Step]:
        """Run a step: a bar while it runs (on a terminal), then its line."""
        step = Step(self.console, title, expected)
        if self.console.is_terminal:
            with Live(step, console=self.console, transient=True, refresh_per_second=4):
                yield step
        else:
            self.console.print(f"  … {title}, about {expected:.0f} s")
            yield step
        line = Text(f"  ✓ {title:<{_NAME_WIDTH}}")
        line.append(f"expected {expected:4.0f} s   took {step.seconds:5.1f} s", style="dim")
        self.console.print(line)

    def print(self, text: str = "") -> None:
        self.console.print(text, soft_wrap=True)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.console.print(text_table(title, header, rows))


def text_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table; the first column is text, the others follow their content."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2), title_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
