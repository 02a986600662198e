"""What to do after the demo: next commands, and the settings that do the same against real services."""

import shutil
import sys
from pathlib import Path

from learn_features.demo.workspace import Workspace

EXTERNAL_LEARN_YAML = """\
state: state                           # bundles, deployment document, content store, offline log
feature_store: feature_store.yaml      # your Feast repository's file; its online_store: your Redis
kafka:
  bootstrap_servers: kafka-1:9092,kafka-2:9092
"""
"""At most ten lines; a test runs exactly this against services it did not start."""


def next_commands(workspace: Workspace) -> list[tuple[str, str]]:
    """Command and what it shows; as they can be typed here."""
    folder = _typed(workspace.folder)
    program = "learn-features" if shutil.which("learn-features") else _typed(Path(sys.executable).parent)
    if program != "learn-features":
        program += "/learn-features"
    return [
        (f"{program} -c {folder}/learn.yaml spaces list", "spaces, rankers and slots in force"),
        (f"{program} -c {folder}/learn.yaml rank USER", "a user's ranking through the slot"),
        ("make play", "broker and consumers stay up: then click and upload"),
        ("make demo DATA=DIR", "the same with your items and interactions"),
    ]


def _typed(path: Path) -> str:
    """`path` from here where it lies below, else whole."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
