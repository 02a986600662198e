"""What the steps of a run share."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learn_features.config import Config
from learn_features.demo.airflow import Airflow
from learn_features.demo.console import Step, Terminal
from learn_features.demo.expectations import Size, expected_seconds
from learn_features.demo.options import Options
from learn_features.demo.story import Story
from learn_features.demo.summary import Summary
from learn_features.demo.workspace import Workspace

if TYPE_CHECKING:
    from learn_features.contracts.events import ItemRecord
    from learn_features.data.tables import Dataset
    from learn_features.demo.ledger import Ledger
    from learn_features.simulation.world import World


@dataclass
class Context:
    """One run; later steps read what earlier ones have set."""

    options: Options
    workspace: Workspace
    terminal: Terminal
    config: Config
    config_file: Path
    airflow: Airflow
    size: Size
    stack: ExitStack
    """Closed at the end of the run: services and processes."""
    summary: Summary = field(default_factory=Summary)
    story: Story = field(default_factory=Story)
    world: "World | None" = None
    """None on one's own data."""
    dataset: "Dataset" = field(init=False)
    ledger: "Ledger" = field(init=False)
    """Interactions sent so far."""
    uploaded: "list[ItemRecord]" = field(default_factory=list)
    groups: list[str | None] = field(default_factory=list)
    """Broad group of each item of `dataset`, for maps and marks."""
    data_folder: str = ""
    bundles: list[str] = field(default_factory=list)
    spaces: list[str] = field(default_factory=list)
    """Space ids, the first one in the slot."""

    @contextmanager
    def step(self, number: int, title: str, key: str) -> Iterator[Step]:
        """A step of the run, with its line and its entry in the summary."""
        title = f"{number} {title}"
        expected = expected_seconds(key, self.size)
        with self.terminal.step(title, expected) as step:
            yield step
        entry: dict[str, Any] = {"title": title, "expected_seconds": round(expected, 1)}
        self.summary.steps.append({**entry, "seconds": round(step.seconds, 2)})
