"""The data of one training run, copied into its folder: every task reads the same, also when run again."""

import shutil
from pathlib import Path

from learn_features.config import Config
from learn_features.data import table_files, tables
from learn_features.durable import sha256_of
from learn_features.errors import DataError

SNAPSHOT = "snapshot"


def snapshot_folder(run_folder: str | Path) -> Path:
    """Where `take_snapshot` put the data of a run."""
    return Path(run_folder) / SNAPSHOT


def take_snapshot(config: Config, data_folder: str | Path, run_folder: str | Path) -> str:
    """Validate `data_folder` and copy its two tables below `run_folder`; returns the run's folder.

    A run that has its snapshot keeps it, whatever `data_folder` holds by now. Raises `DataError`.
    """
    target = snapshot_folder(run_folder)
    if target.exists():
        return str(run_folder)
    tables.read_dataset(data_folder, config.data)
    partial = target.with_name(f".{SNAPSHOT}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in (tables.ITEMS, tables.INTERACTIONS):
        source = table_files.read_table(Path(data_folder), name).path
        copy = partial / source.name
        shutil.copyfile(source, copy)
        if sha256_of(copy) != sha256_of(source):
            raise DataError(f"{source}: changed while it was copied; run again when nobody writes to it")
    partial.rename(target)
    return str(run_folder)
