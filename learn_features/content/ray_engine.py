"""The same as `embed.embed_catalogue` on many machines: slices of the catalogue go to actors under Ray Data.

An actor reads its slice, encodes what is new or changed and appends it to the store itself, so only counts
travel. A slice whose actor dies goes to another one, which finds what was written before already there. Files
and state lie where all machines see them.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from learn_features.config import Config
from learn_features.content.bad_items import BadItems, check_free
from learn_features.content.catalogue_embedder import CatalogueEmbedder, Part
from learn_features.content.embed import (
    EmbedReport,
    Progress,
    bad_items_file,
    report_of,
    write_list,
)
from learn_features.content.shards import Shards
from learn_features.content.spec import encoder_spec
from learn_features.data.catalogue import Catalogue
from learn_features.errors import MissingDependency, ServiceError

SLICE_ITEMS = 4_096
"""Items that one call of an actor brings up to date, and that are begun again if it dies."""


def embed_with_ray(
    config: Config,
    catalogue: Catalogue,
    progress: Progress | None = None,
    *,
    workers: int | None = None,
    on_tokens: Callable[[int], None] | None = None,
    bad_items: str | None = None,
    slice_items: int = SLICE_ITEMS,
) -> EmbedReport:
    """Like `embed.embed_catalogue`, by `workers` actors (default: one a GPU of the cluster, else one a CPU).

    Joins the cluster of `RAY_ADDRESS` or starts a local one. Raises `MissingDependency` without
    Ray, `ServiceError` if it does not start.
    """
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # by default everything else goes first
        import ray
    except ImportError:
        raise MissingDependency("the engine `ray` needs Ray: pip install 'learn-features[ray]'") from None

    started = time.monotonic()
    spec = encoder_spec(config.encoder)
    listed = bad_items or bad_items_file(config)
    check_free(listed)
    damaged = Shards(config.content, spec.id).set_aside_damaged()
    own = not ray.is_initialized()
    if own:
        _start(ray)
    try:
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0)) if config.encoder.precision != "int8" else 0
        count = workers or gpus or max(1, int(resources.get("CPU", 1)))
        parts, bad = [], BadItems()
        total = catalogue.rows or 0
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        slices = [{"slice": json.dumps(one)} for one in _slices(catalogue, slice_items)]
        done = ray.data.from_items(slices, override_num_blocks=max(1, len(slices))).map_batches(
            _SliceEmbedder,
            fn_constructor_args=(config, [str(file) for file in catalogue.files]),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(count, max(1, len(slices)))),
            num_gpus=min(1.0, gpus / count) if gpus else 0,
            num_cpus=0 if gpus else 1,
            max_restarts=-1,
            max_task_retries=-1,
        )
        for row in done.iter_rows():
            answer = json.loads(row["answer"])
            parts.append(Part(**answer["part"]))
            bad.extend(tuple(one) for one in answer["bad"])
            items = sum(part.items for part in parts)
            if progress is not None:
                progress(items, max(items, total))
            if on_tokens is not None:
                on_tokens(sum(part.tokens for part in parts))
    finally:
        if own:
            ray.shutdown()
    write_list(bad, listed)
    return report_of(parts, bad, listed, spec.id, len(damaged), time.monotonic() - started)


def _start(ray: Any) -> None:
    for last in (False, True):
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        except Exception as error:  # Ray raises bare ones
            if last:
                raise ServiceError(
                    f"Ray did not start or cannot be reached ({error}); with RAY_ADDRESS set, check that "
                    "cluster, else give the command again when the machine is less busy"
                ) from error
            ray.shutdown()  # a busy machine takes longer than the 30 s that Ray waits: once more
        else:
            return


def _slices(catalogue: Catalogue, items: int) -> Iterator[tuple[str, int, int]]:
    """File, first row and number of rows; a file of unknown length is one slice."""
    for file in catalogue.files:
        rows = catalogue.rows_of(file)
        if rows is None:
            yield str(file), 0, -1
            continue
        for first in range(0, rows, items):
            yield str(file), first, min(items, rows - first)


class _SliceEmbedder:
    """One actor: a warm encoder and its own view of the store."""

    def __init__(self, config: Config, files: list[str]) -> None:
        self._config = config
        self._catalogue = Catalogue.of([Path(file) for file in files], config.data)
        self._embedder = CatalogueEmbedder(config)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        return {"answer": [self._embed(*json.loads(one)) for one in batch["slice"]]}

    def _embed(self, file: str, first: int, rows: int) -> str:
        self._embedder.bad = BadItems()
        self._embedder.store.reload()  # what a predecessor on this slice has written
        parts = [
            part
            for block in _blocks(self._catalogue, Path(file), first, rows)
            for part in self._embedder.embed(block)
        ]
        fields = Part.__dataclass_fields__
        whole = {name: sum(getattr(part, name) for part in parts) for name in fields}
        return json.dumps({"part": whole, "bad": self._embedder.bad.rows})


def _blocks(catalogue: Catalogue, file: Path, first: int, rows: int) -> Iterator[pl.DataFrame]:
    if rows < 0:
        yield from catalogue.blocks_of(file)
        return
    yield catalogue.checked(file, catalogue.raw(file, first, rows))
