"""Where a consumer starts, and when it refuses to go on."""

import pytest

from learn_features.contracts.online import CHECKPOINT_KEY, PartitionCheckpoint
from learn_features.errors import CheckpointError
from learn_features.features.backfill import mark_filled
from learn_features.features.sqlite_rows import SqliteRowStore
from learn_features.streaming.checkpoints import Checkpoints, StartAgain, start_positions
from learn_features.streaming.records import Partition

PART = Partition("interactions", "topic-1", 0)
OTHER = Partition("interactions", "topic-1", 1)


@pytest.fixture
def store(tmp_path):
    store = SqliteRowStore(tmp_path / "rows.db")
    yield store
    store.close()


def at(offset, part=PART, version=3):
    return PartitionCheckpoint(
        topic=part.topic, topic_id=part.topic_id, partition=part.number, next_offset=offset,
        document_version=version,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("checkpoint", "commit", "bounds", "expected"),
    [
        (50, 40, (0, 100), 40),  # the offline log is behind
        (40, 50, (0, 100), 40),  # the rows are behind
        (50, None, (3, 100), 3),  # never committed
        (None, 50, (3, 100), 3),  # this partition's checkpoint is gone
        (None, None, (0, 0), 0),
        (None, 500, (10, 100), 10),  # a commit of a topic that was created anew
        (100, 100, (100, 100), 100),
    ],
)
def test_start_is_the_lower_of_both(checkpoint, commit, bounds, expected):
    known = None if checkpoint is None else at(checkpoint)
    assert start_positions({PART: known}, {PART: commit}, {PART: bounds}) == {PART: expected}


@pytest.mark.parametrize(
    ("checkpoint", "commit", "bounds", "reason"),
    [
        (5, 50, (10, 100), "online store is at offset 5, but the log starts at 10"),
        (50, 5, (10, 100), "group is at offset 5, but the log starts at 10"),
        (101, 50, (0, 100), "online store is at offset 101, but the log ends at 100"),
        (50, 101, (0, 100), "group is at offset 101, but the log ends at 100"),
    ],
)
def test_positions_outside_the_log_stop(checkpoint, commit, bounds, reason):
    with pytest.raises(CheckpointError, match=f"interactions-0: the {reason}"):
        start_positions({PART: at(checkpoint)}, {PART: commit}, {PART: bounds})


def test_a_store_that_was_never_filled_stops(store):
    with pytest.raises(CheckpointError, match="nothing filled yet or lost: `learn-features backfill`"):
        Checkpoints(store).load([PART])


def test_checkpoints_move_on_and_never_back(store):
    mark_filled(store)
    mine = Checkpoints(store)
    assert mine.load([PART, OTHER]) == {PART: None, OTHER: None}
    mine.save({PART: 10, OTHER: 4}, 3)
    mine.save({PART: 7}, 2)
    assert Checkpoints(store).load([PART, OTHER]) == {PART: at(10), OTHER: at(4, OTHER)}


def test_another_topic_of_the_same_name_stops_until_adopted(store):
    mark_filled(store)
    mine = Checkpoints(store)
    mine.load([PART])
    mine.save({PART: 10}, 1)
    anew = PART._replace(topic_id="topic-2")
    with pytest.raises(CheckpointError, match="deleted and created anew"):
        Checkpoints(store).load([anew])
    assert Checkpoints(store).adopt({"interactions": "topic-2"}) == ["interactions-0"]
    assert Checkpoints(store).load([anew]) == {anew: None}


def test_a_lost_store_is_noticed_before_anything_is_written(store):
    mark_filled(store)
    mine = Checkpoints(store)
    mine.load([PART])
    with pytest.raises(StartAgain, match="lost"):
        mine.verify({})
    mine.save({PART: 10}, 1)
    row = store.read_rows([CHECKPOINT_KEY])[0]
    mine.verify(row)
    with pytest.raises(StartAgain, match="lost or restored"):
        mine.verify(row | {"topic-1/0": at(9).model_dump_json().encode()})
    for field in row:
        store.drop_field(CHECKPOINT_KEY, field)
    with pytest.raises(StartAgain):
        mine.save({PART: 11}, 1)
    assert store.read_rows([CHECKPOINT_KEY]) == [{}]


def test_the_second_of_two_writers_starts_again(store):
    mark_filled(store)
    mine, zombie = Checkpoints(store), Checkpoints(store)
    mine.load([PART])
    zombie.load([PART])
    mine.save({PART: 10}, 1)
    with pytest.raises(StartAgain, match="another consumer"):
        zombie.save({PART: 12}, 1)
    assert mine.load([PART]) == {PART: at(10, version=1)}


def test_a_backfill_that_marks_the_store_again_is_no_trouble(store):
    mark_filled(store)
    mine = Checkpoints(store)
    mine.load([PART])
    mark_filled(store)
    mine.save({PART: 10}, 1)
    assert mine.load([PART]) == {PART: at(10, version=1)}
