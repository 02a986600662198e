"""What to do after the demo: next commands, and the settings that do the same against real services."""

from learn_features.demo.options import Options
from learn_features.demo.workspace import Workspace

EXTERNAL_LEARN_YAML = """\
state: state                           # bundles, deployment document, content store, offline log
feature_store: feature_store.yaml      # your Feast repository's file; its online_store: your Redis
kafka:
  bootstrap_servers: kafka-1:9092,kafka-2:9092
"""
"""At most ten lines; a test runs exactly this against services it did not start."""


def next_commands(workspace: Workspace, options: Options) -> list[tuple[str, str]]:
    """Command and what it shows."""
    config = f"learn-features -c {_relative(workspace)}/learn.yaml"
    return [
        (f"open {_relative(workspace)}/report.html", "every figure and plot of this run"),
        (f"{config} spaces list", "spaces, rankers and slots in force"),
        (f"{config} rank USER", "a user's ranking through the slot"),
        ("make play", "world, broker and consumers stay up; then learn-features click USER ITEM"),
        ("make demo DATA=DIR", "the same with your items.parquet and interactions.parquet"),
    ]


def _relative(workspace: Workspace) -> str:
    from pathlib import Path

    folder = workspace.folder
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)
