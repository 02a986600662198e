"""Which users' vectors are out of date. Repair is by level: ask again and refresh whoever is named."""

from collections.abc import Iterator, Sequence
from itertools import islice

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.contracts.deployment import Space
from learn_features.errors import DeploymentError
from learn_features.features.row_store import RowStore
from learn_features.features.rows import open_row_store
from learn_features.release.deployment import DeploymentStore

_USERS_A_BATCH = 1_000


def stale_users(config: Config, space_id: str) -> Iterator[str]:
    """Ids of users whose vector in the space is missing, behind their history or an item in it.

    Behind: older, or made of fewer of the history's items than have a vector now. A user without any
    item that has a vector cannot have one and is not stale. Reads the online store only, a batch at a
    time. Raises `DeploymentError` for an unknown space.
    """
    space = DeploymentStore(config.deployment).read().spaces.get(space_id)
    if space is None:
        raise DeploymentError(f"space {space_id} is not in the deployment document")
    rows = open_row_store(config)
    try:
        keys = rows.scan_keys(online.entity_key_prefix(c.USER_ID))
        while batch := list(islice(keys, _USERS_A_BATCH)):
            for key in stale_keys(rows, space_id, space, batch):
                yield online.entity_value(key)
    finally:
        rows.close()


def stale_keys(rows: RowStore, space_id: str, space: Space, keys: Sequence[bytes]) -> list[bytes]:
    """The keys of user rows, among `keys`, that are stale in the space."""
    fields = (names.user_history_view(space.history.id), names.user_embedding_view(space_id))
    histories: list[tuple[bytes, online.Cell, bytes | None, list[str]]] = []
    for key, (history, vector) in zip(keys, rows.read_fields(keys, fields), strict=True):
        if history is None:
            continue
        cell = online.decode_cell(history)
        items = [entry.item_id for entry in online.decode_history(cell.payload)]
        histories.append((key, cell, vector, items))
    item_ids = list({item for *_, items in histories for item in items})
    cells = _item_cells(rows, space_id, item_ids)
    stale = []
    for key, history_cell, stored, items in histories:
        known = [cells[item] for item in items if item in cells]
        embedded = sum(has_vector for _, has_vector in known)
        if stored is None:
            if embedded:
                stale.append(key)
            continue
        made = online.decode_cell(stored)
        newest = max([history_cell.as_of_us, *(as_of for as_of, _ in known)])
        if made.as_of_us < newest or _too_few(made, embedded):
            stale.append(key)
    return stale


def _too_few(vector: online.Cell, embedded: int) -> bool:
    """Whether a vector was made without an item that has a vector now.

    The sequence of a streamed vector says how many entries of the history were embedded; 0: not recorded.
    """
    if vector.payload == online.TOMBSTONE:
        return embedded > 0
    return 0 < vector.sequence < embedded


def _item_cells(rows: RowStore, space_id: str, item_ids: list[str]) -> dict[str, tuple[int, bool]]:
    """Item → (`as_of`, whether it has a vector) of items with a row in the space."""
    keys = [online.entity_key(c.ITEM_ID, item_id) for item_id in item_ids]
    found = {}
    for item_id, [raw] in zip(
        item_ids, rows.read_fields(keys, [names.item_embedding_view(space_id)]), strict=True
    ):
        if raw is not None:
            cell = online.decode_cell(raw)
            found[item_id] = (cell.as_of_us, cell.payload != online.TOMBSTONE)
    return found
