"""What a demo run is asked to do, and how long it should take."""

from dataclasses import dataclass
from pathlib import Path

DEFAULT_FOLDER = Path("var/demo")


@dataclass(frozen=True)
class Options:
    """The arguments of `learn-features demo`."""

    folder: Path = DEFAULT_FOLDER
    """Everything that is written goes here; emptied at the start."""
    data: Path | None = None
    """Folder with items and interactions; None: the simulator's world."""
    external: Path | None = None
    """A learn.yaml whose Kafka, Feast and online store are used instead of starting any."""
    redis: bool = False
    items: int = 2_000
    users: int = 3_000
    seed: int = 0
    quick: bool = False
    """A small world and fewer repetitions: a smoke run."""
    keep_running: bool = False

    @property
    def uploads(self) -> int:
        """New items whose freshness is measured."""
        return 3 if self.quick else 8

    @property
    def flowing_events(self) -> int:
        """Events sent while a consumer is killed."""
        return 600 if self.quick else 3_000

    @property
    def hammer_seconds(self) -> float:
        """How long the reader reads in each state of the slot."""
        return 1.0 if self.quick else 3.0


QUICK_ITEMS, QUICK_USERS = 600, 800
