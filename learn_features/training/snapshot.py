"""The data of one training run, copied into its folder: every task reads the same, also when run again."""

import json
import shutil
from pathlib import Path

from learn_features.config import Config
from learn_features.data import table_files, tables
from learn_features.durable import sha256_of, write_text
from learn_features.errors import ConfigError, DataError
from learn_features.training import run as run_folder_files

SNAPSHOT = "snapshot"
OWNER = "owners.json"
"""File of a snapshot: a JSON list of those whose it is."""


def snapshot_folder(run_folder: str | Path) -> Path:
    """Where `take_snapshot` put the data of a run."""
    return Path(run_folder) / SNAPSHOT


def take_snapshot(
    config: Config, data_folder: str | Path, run_folder: str | Path, *, owner: str, fresh: bool = False
) -> str:
    """Validate `data_folder` and copy its two tables below `run_folder`; returns the run's folder.

    An `owner` (a DAG run) that has its snapshot keeps it, whatever `data_folder` holds by now. Another
    one's snapshot is as good if the tables are the same; else it is refused, or with `fresh` gives way,
    together with what was trained on it.

    Raises `DataError`, `ConfigError` (other data; with `fresh`, a training that runs there).
    """
    folder, target = Path(run_folder), snapshot_folder(run_folder)
    owners = json.loads((target / OWNER).read_text()) if (target / OWNER).exists() else []
    if owner in owners:
        return str(run_folder)
    tables.read_dataset(data_folder, config.data)
    sources = [
        table_files.read_table(Path(data_folder), name).path for name in (tables.ITEMS, tables.INTERACTIONS)
    ]
    if target.exists() and not fresh:
        if all(_same(source, target / source.name) for source in sources):
            write_text(target / OWNER, json.dumps([*owners, owner]))
            return str(run_folder)
        raise ConfigError(
            f"{run_folder}: holds the data of another run, and {data_folder} differs from them; give another "
            "run_folder, or fresh to start anew in its place"
        )
    with run_folder_files.alone_in(folder):
        partial = target.with_name(f".{SNAPSHOT}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for source in sources:
            shutil.copyfile(source, partial / source.name)
            if not _same(source, partial / source.name):
                raise DataError(f"{source}: changed while it was copied; run again when nobody writes to it")
        (partial / OWNER).write_text(json.dumps([owner]))
        if fresh:  # only now that nothing above has refused
            run_folder_files.discard(folder)
            shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    return str(run_folder)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and sha256_of(one) == sha256_of(other)
