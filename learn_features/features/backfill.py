"""Fill a space from the offline log: vectors of all items and users, popularity, histories."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

import pyarrow as pa

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.contracts.deployment import Space, SpaceState
from learn_features.errors import DeploymentError
from learn_features.features.declarations import declare
from learn_features.features.history_states import cutoffs, popularity_rows, states_at
from learn_features.features.materialise import materialise
from learn_features.features.offline_log import OfflineLog
from learn_features.features.online_histories import (
    known_online_since,
    mark_outdated,
    merge_all,
    without_forgotten_online,
)
from learn_features.features.row_store import CellPut, RowStore
from learn_features.features.rows import open_row_store
from learn_features.features.space_embedding import SpaceEmbedding
from learn_features.release.deployment import DeploymentStore

_KEYS_A_READ = 5_000
_ROWS_A_FILE = 100_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BackfillReport:
    """Rows written: item, user and popularity rows to the offline log, histories to the online store."""

    space_id: str
    items: int
    users: int
    popularity: int
    histories: int
    materialised: dict[str, int]
    """Entities by view that Feast's `materialize` went through."""
    seconds: float

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def backfill(
    config: Config, space_id: str, *, window_days: int = 1, progress: Progress | None = None
) -> BackfillReport:
    """Embed everything in the offline log into `space_id`, append it, and bring it online.

    For each of the last `window_days` days, users with new events get the vector of that day's end,
    "as if the space had existed", with today's texts. Repeating it appends the same rows again, which
    readers drop, and leaves newer online rows alone. Where the online store knows more than the log, users
    are made stale for the next sweep. At the end the online store is marked as filled.
    `progress` counts user rows. Raises `DeploymentError` for a space that is unknown or retired.
    """
    started = time.monotonic()
    space = embedded_space(config, space_id)
    store = declare(config)
    log, rows = OfflineLog(config.offline), open_row_store(config)
    try:
        # the log first: whoever is forgotten meanwhile is newer than all of it
        interactions = without_forgotten_online(rows, log.interactions())
        embedding = SpaceEmbedding(config, space, log.items(deleted=True))
        renew_overlay(rows, space.encoder.id, embedding)
        item_rows = embedding.item_rows()
        log.append(names.item_embedding_view(space_id), item_rows)

        newest = int(interactions[c.AS_OF].to_physical().max() or 0)  # type: ignore[arg-type]
        looks = cutoffs(newest, window_days)
        popularity = popularity_rows(interactions, looks)
        log.append(names.ITEM_POPULARITY_VIEW, popularity.to_arrow())

        current = states_at(interactions, space.history, newest, None)
        histories = merge_all(rows, space, current)
        since_online = known_online_since(rows, space.history, current)
        users = 0
        view = names.user_embedding_view(space_id)
        # oldest first: where two days' states have one as_of, the later one is appended last and counts
        for cutoff, since in reversed(list(zip(looks, [*looks[1:], None], strict=True))):
            states = states_at(interactions, space.history, cutoff, since).raised(current, since_online)
            for table in _gathered(embedding.user_rows(states, progress)):
                log.append(view, table)
                users += table.num_rows
        materialised = materialise(config, store, space_views(space_id))
        mark_outdated(rows, space_id, space, current, embedding.item_as_of)
        mark_filled(rows)
    finally:
        rows.close()
    return BackfillReport(
        space_id,
        item_rows.num_rows,
        users,
        popularity.height,
        histories,
        materialised,
        time.monotonic() - started,
    )


def _gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in fewer, larger tables: each becomes a file."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(part.num_rows for part in waiting) >= _ROWS_A_FILE:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def embedded_space(config: Config, space_id: str) -> Space:
    """The space in the document in force. Raises `DeploymentError` if it is unknown or retired."""
    document = DeploymentStore(config.deployment).read()
    space = document.spaces.get(space_id)
    if space is None:
        known = ", ".join(document.spaces) or "none"
        raise DeploymentError(f"space {space_id} is not in the deployment document (there: {known})")
    if space.state is SpaceState.RETIRED:
        raise DeploymentError(f"space {space_id} is retired; begin it again to fill it")
    return space


def space_views(space_id: str) -> list[str]:
    """The views that a backfill materialises."""
    return [
        names.item_embedding_view(space_id),
        names.user_embedding_view(space_id),
        names.ITEM_POPULARITY_VIEW,
    ]


def renew_overlay(rows: RowStore, encoder_id: str, embedding: SpaceEmbedding) -> int:
    """Bring the content vectors that came by stream up to the log's, which may be newer; how many.

    Items without such a cell are read from the shards.
    """
    view, ids, renewed = names.item_content_view(encoder_id), embedding.item_ids, 0
    for first in range(0, len(ids), _KEYS_A_READ):
        some = ids[first : first + _KEYS_A_READ]
        keys = [online.entity_key(c.ITEM_ID, item_id) for item_id in some]
        puts = []
        for key, item_id, [raw] in zip(keys, some, rows.read_fields(keys, [view]), strict=True):
            as_of = embedding.item_as_of[item_id]
            if raw is not None and online.decode_cell(raw).as_of_us < as_of:
                vector = embedding.content(item_id)
                payload = online.TOMBSTONE if vector is None else online.encode_vector(vector)
                puts.append(CellPut(key, {view: online.encode_cell(as_of, payload)}))
        renewed += sum(rows.put_newer(puts))
    return renewed


def mark_filled(rows: RowStore) -> None:
    """Declare the online store filled: consumers may start from the beginning of their partitions."""
    now = online.encode_time(time.time_ns() // 1_000)
    rows.compare_and_set_fields(online.CHECKPOINT_KEY, {}, {online.FILLED_FIELD: now})


def is_filled(rows: RowStore) -> bool:
    """Whether a backfill or `init` has declared the online store filled."""
    [[filled]] = rows.read_fields([online.CHECKPOINT_KEY], [online.FILLED_FIELD])
    return filled is not None
