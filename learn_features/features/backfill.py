"""Fill a space from the offline log: vectors of all items and users, popularity, histories."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

import pyarrow as pa

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.contracts.deployment import Space, SpaceState
from learn_features.contracts.history import HistoryEntry
from learn_features.errors import DeploymentError
from learn_features.features.declarations import declare
from learn_features.features.history_merge import HistoryUpdate, merge_histories
from learn_features.features.history_states import HistoryStates, cutoffs, popularity_rows, states_at
from learn_features.features.materialise import materialise
from learn_features.features.offline_log import OfflineLog
from learn_features.features.row_store import RowStore
from learn_features.features.rows import open_row_store
from learn_features.features.space_embedding import SpaceEmbedding
from learn_features.release.deployment import DeploymentStore

_HISTORIES_A_MERGE = 2_000
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
    readers drop, and leaves newer online rows alone. At the end the online store is marked as filled.
    `progress` counts user rows. Raises `DeploymentError` for a space that is unknown or retired.
    """
    started = time.monotonic()
    space = embedded_space(config, space_id)
    store = declare(config)
    log, rows = OfflineLog(config.offline), open_row_store(config)
    interactions = log.interactions()
    embedding = SpaceEmbedding(config, space, log.items(deleted=True))
    item_rows = embedding.item_rows()
    log.append(names.item_embedding_view(space_id), item_rows)

    newest = int(interactions[c.AS_OF].to_physical().max() or 0)  # type: ignore[arg-type]
    looks = cutoffs(newest, window_days)
    popularity = popularity_rows(interactions, looks)
    log.append(names.ITEM_POPULARITY_VIEW, popularity.to_arrow())

    users = histories = 0
    view = names.user_embedding_view(space_id)
    # oldest first: where two days' states have one as_of, the later one is appended last and counts
    for cutoff, since in reversed(list(zip(looks, [*looks[1:], None], strict=True))):
        states = states_at(interactions, space.history, cutoff, since)
        for table in _gathered(embedding.user_rows(states, progress)):
            log.append(view, table)
            users += table.num_rows
    try:
        current = states_at(interactions, space.history, newest, None)
        histories = merge_all(rows, space, current)
        materialised = materialise(config, store, space_views(space_id))
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


def merge_all(rows: RowStore, space: Space, states: HistoryStates) -> int:
    """Merge histories into the online rows, as Feast's write to the history view does; rows changed."""
    entries = list(map(HistoryEntry._make, states.entries.rows()))
    bounds, changed = states.offsets.tolist(), 0
    as_of = states.as_of_us.tolist()
    for first in range(0, len(states), _HISTORIES_A_MERGE):
        some = range(first, min(first + _HISTORIES_A_MERGE, len(states)))
        updates = {
            online.entity_key(c.USER_ID, states.user_ids[place]): HistoryUpdate(
                entries[bounds[place] : bounds[place + 1]], as_of[place]
            )
            for place in some
        }
        changed += merge_histories(rows, space.history, updates)
    return changed


def mark_filled(rows: RowStore) -> None:
    """Declare the online store filled: consumers may start from the beginning of their partitions."""
    now = online.encode_time(time.time_ns() // 1_000)
    rows.compare_and_set_fields(online.CHECKPOINT_KEY, {}, {online.FILLED_FIELD: now})


def is_filled(rows: RowStore) -> bool:
    """Whether a backfill or `init` has declared the online store filled."""
    [[filled]] = rows.read_fields([online.CHECKPOINT_KEY], [online.FILLED_FIELD])
    return filled is not None
