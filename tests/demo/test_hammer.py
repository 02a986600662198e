"""Mixed reads are told from whole ones by the stored rows, not by what the reader says."""

from pathlib import Path

import numpy as np
import pytest

from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.demo.hammer import HammerResult, digest, mixed_reads
from learn_features.features.row_store import CellPut
from learn_features.features.sqlite_rows import SqliteRowStore

SPACES = ("saaaaaaaaaaaa", "sbbbbbbbbbbbb")
REQUESTS = [("ann", ["i1", "i2"])]


def vector(space_id: str, entity: str) -> np.ndarray:
    seed = [SPACES.index(space_id), *entity.encode()]
    return np.random.default_rng(seed).normal(size=4).astype(np.float32)


@pytest.fixture
def rows(tmp_path: Path) -> SqliteRowStore:
    store = SqliteRowStore(str(tmp_path / "online.db"))
    for space_id in SPACES:
        for join_key, entity, view in (
            (c.USER_ID, "ann", names.user_embedding_view(space_id)),
            (c.ITEM_ID, "i1", names.item_embedding_view(space_id)),
            (c.ITEM_ID, "i2", names.item_embedding_view(space_id)),
        ):
            cell = online.encode_cell(1, online.encode_vector(vector(space_id, entity)))
            store.put_newer([CellPut(online.entity_key(join_key, entity), {view: cell})])
    return store


def seen(user_space: str, *item_spaces: str) -> HammerResult:
    items = np.stack([vector(space, item) for space, item in zip(item_spaces, ("i1", "i2"), strict=True)])
    one = (0, digest(vector(user_space, "ann")), digest(items), 7)
    return HammerResult(7, 0, None, [one], [], 0.0, 0.0)


@pytest.mark.parametrize("space_id", SPACES)
def test_reads_of_one_space_are_whole(rows: SqliteRowStore, space_id: str) -> None:
    assert mixed_reads(seen(space_id, space_id, space_id), REQUESTS, rows, SPACES) == 0


@pytest.mark.parametrize("spaces", [(0, 1, 1), (1, 0, 0), (0, 0, 1)])
def test_every_other_combination_is_mixed(rows: SqliteRowStore, spaces: tuple[int, int, int]) -> None:
    assert mixed_reads(seen(*(SPACES[n] for n in spaces)), REQUESTS, rows, SPACES) == 7


def test_a_missing_user_vector_is_no_vector_of_a_space(rows: SqliteRowStore) -> None:
    items = np.stack([vector(SPACES[0], "i1"), vector(SPACES[0], "i2")])
    result = HammerResult(1, 0, None, [(0, digest(None), digest(items), 1)], [], 0.0, 0.0)
    assert mixed_reads(result, REQUESTS, rows, SPACES) == 1
