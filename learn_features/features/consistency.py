"""Does the online store hold what the offline log says? Coverage, sameness, staleness of a space."""

from dataclasses import asdict, dataclass, field

import numpy as np
import polars as pl

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.contracts.deployment import Space
from learn_features.data.histories import counting
from learn_features.features.offline_log import OfflineLog
from learn_features.features.row_store import RowStore
from learn_features.features.rows import open_row_store
from learn_features.features.staleness import stale_users

MIN_COVERAGE = 0.999
MAX_STALE_SHARE = 0.01
TOLERANCE = 1e-6
_KEYS_A_READ = 5_000


@dataclass(frozen=True)
class RollOutReport:
    """Gates of a roll-out; `problems` is empty if the space may become ready."""

    space_id: str
    items: int
    """Live items of the offline log."""
    items_covered: int
    users: int
    """Users with a counting event of an item in the log."""
    users_covered: int
    stale: int
    compared: int
    """Online rows as new as their newest offline row."""
    different: int
    """Of those, the ones whose values differ by more than 1e-6."""
    behind: int
    """Entities whose online row is older than their newest offline row."""
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def measure(config: Config, space_id: str, space: Space) -> RollOutReport:
    """Compare all rows of the space online and offline; nothing is raised for what is found."""
    log, rows = OfflineLog(config.offline), open_row_store(config)
    try:
        live = log.items()
        events = counting(log.interactions(), space.history)
        users = events.join(live.select(c.ITEM_ID), on=c.ITEM_ID, how="semi")[c.USER_ID].unique()
        item_view, user_view = names.item_embedding_view(space_id), names.user_embedding_view(space_id)
        item_cells = _cells(rows, c.ITEM_ID, live[c.ITEM_ID], item_view)
        user_cells = _cells(rows, c.USER_ID, users, user_view)
        compared, different, behind = np.sum(
            [_compare(log, rows, view) for view in (item_view, user_view)], axis=0
        ).tolist()
    finally:
        rows.close()
    stale = sum(1 for _ in stale_users(config, space_id))
    report = RollOutReport(
        space_id=space_id,
        items=live.height,
        items_covered=_present(item_cells),
        users=len(users),
        users_covered=_present(user_cells),
        stale=stale,
        compared=compared,
        different=different,
        behind=behind,
    )
    report.problems.extend(_problems(report))
    return report


def _problems(report: RollOutReport) -> list[str]:
    found = []
    if not report.items:
        found.append("the offline log has no items: learn-features import FOLDER")
    for kind, covered, total in (
        ("items", report.items_covered, report.items),
        ("users", report.users_covered, report.users),
    ):
        if covered < MIN_COVERAGE * total:
            found.append(
                f"{covered:,} of {total:,} {kind} have an online vector, needed {MIN_COVERAGE:.1%}; "
                f"run learn-features backfill {report.space_id}"
            )
    if report.stale > MAX_STALE_SHARE * max(report.users, 1):
        found.append(
            f"{report.stale:,} of {report.users:,} users have a stale vector, allowed {MAX_STALE_SHARE:.0%}; "
            f"run the sweep (learn-features spaces sweep {report.space_id})"
        )
    if report.different:
        found.append(f"{report.different:,} of {report.compared:,} online rows differ from the offline log")
    if report.behind:
        found.append(f"{report.behind:,} online rows are older than the offline log; materialise again")
    return found


def _compare(log: OfflineLog, rows: RowStore, view: str) -> tuple[int, int, int]:
    """(compared, different, behind) over the newest offline row of each entity."""
    offline = log.embeddings(view).sort(c.AS_OF, maintain_order=True)
    entity, feature = offline.columns[0], offline.columns[1]
    newest = offline.unique(entity, keep="last", maintain_order=True)
    as_of = newest[c.AS_OF].to_physical().to_list()
    vectors = newest[feature]
    cells = _cells(rows, entity, newest[entity], view)
    compared = different = behind = 0
    for place, (raw, expected) in enumerate(zip(cells, as_of, strict=True)):
        cell = None if raw is None else online.decode_cell(raw)
        if cell is None or cell.as_of_us < expected:
            behind += 1
        elif cell.as_of_us == expected:
            compared += 1
            different += not _same(cell.payload, vectors[place])
    return compared, different, behind


def _same(payload: bytes, offline: pl.Series | None) -> bool:
    if payload == online.TOMBSTONE or offline is None:
        return payload == online.TOMBSTONE and offline is None
    stored, expected = online.decode_vector(payload), offline.to_numpy()
    return stored.shape == expected.shape and bool(np.abs(stored - expected).max() <= TOLERANCE)


def _cells(rows: RowStore, join_key: str, ids: pl.Series, view: str) -> list[bytes | None]:
    keys = [online.entity_key(join_key, one) for one in ids]
    cells: list[bytes | None] = []
    for first in range(0, len(keys), _KEYS_A_READ):
        cells.extend(raw for [raw] in rows.read_fields(keys[first : first + _KEYS_A_READ], [view]))
    return cells


def _present(cells: list[bytes | None]) -> int:
    """How many cells hold a vector."""
    return sum(raw is not None and len(raw) > online.REVISION_BYTES for raw in cells)
