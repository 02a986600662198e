"""The loop's turns over a log in memory, with real stores: what is flushed when, and what is refused."""

import json
import time
from functools import partial
from types import SimpleNamespace

import pytest

from learn_features.config import KafkaConfig
from learn_features.contracts import columns as c
from learn_features.contracts import names, offline, online
from learn_features.errors import StoreUnavailable
from learn_features.features.backfill import mark_filled
from learn_features.features.offline_log import OfflineLog
from learn_features.features.sqlite_rows import SqliteRowStore
from learn_features.streaming.decoding import decode
from learn_features.streaming.loop import StreamLoop
from learn_features.streaming.metrics import Health, StreamMetrics
from learn_features.streaming.offline_buffer import OfflineBuffer, plain_rows
from learn_features.streaming.records import InteractionEvent, Partition, Record

APPEND_US = 1_700_000_000_000_000
PLACE = Partition(names.TOPIC_INTERACTIONS, "id", 0)


class MemoryLog:
    """One partition, owned from the start."""

    def __init__(self):
        self._new, self._offset, self._waiting = [PLACE], 0, []
        self.commits = []

    def send(self, *items):
        for item in items:
            body = {"user_id": "u", "item_id": item, "event_timestamp": APPEND_US, "event_id": item}
            raw = json.dumps(body).encode()
            self._waiting.append(Record(PLACE, self._offset, APPEND_US + self._offset, b"u", raw))
            self._offset += 1

    def poll(self, seconds):
        found, self._waiting = self._waiting, []
        return found

    def new_assignment(self):
        new, self._new = self._new, None
        return new

    def refreshed_ids(self):
        return False

    def bounds(self, partitions):
        return {PLACE: (0, self._offset)}

    def committed(self, partitions):
        return {PLACE: None}

    def commit(self, positions):
        self.commits.append(dict(positions))
        return True

    def start(self, positions): ...
    def pause(self): ...
    def resume(self): ...
    def close(self): ...
    def lag(self):
        return {}


class Documents:
    """Stands for `Spaces`: whose document is in force."""

    def __init__(self):
        self.document = SimpleNamespace(version=1)

    def refresh(self):
        return False

    def require(self, version): ...


class Handler:
    """Every event goes to the offline log; `poison` cannot be used."""

    topics, role, max_batch = (names.TOPIC_INTERACTIONS,), "test", None

    def __init__(self):
        self.prepared = 0

    def prepare(self):
        self.prepared += 1

    def handle(self, events, rows):
        assert all(isinstance(event, InteractionEvent) for event in events)
        items = [event.record.item_id for event in events]
        if any(item.startswith("poison") for item in items):
            raise ValueError("vectors are not finite")
        rows_ = [
            {
                c.USER_ID: "u",
                c.ITEM_ID: item,
                c.EVENT_ID: item,
                c.EVENT_TYPE: "click",
                c.EVENT_TIMESTAMP: APPEND_US,
                c.AS_OF: APPEND_US + 1,
            }
            for item in items
        ]
        appends = [plain_rows(offline.INTERACTIONS, offline.INTERACTION_SCHEMA, rows_)]
        gone = [{c.USER_ID: "u", c.AS_OF: APPEND_US} for item in items if item == "forget"]
        return [*appends, plain_rows(offline.FORGOTTEN, offline.FORGOTTEN_SCHEMA, gone)]


class Letters:
    def __init__(self):
        self.found = []

    def add(self, record, reason):
        self.found.append((record.offset, reason))

    def flush(self): ...


class Scene:
    def __init__(self, folder):
        self.store = SqliteRowStore(folder / "rows.db")
        mark_filled(self.store)
        self.log, self.letters, self.handler = MemoryLog(), Letters(), Handler()
        self.offline = OfflineLog(str(folder / "offline"))
        self.appended, self.broken = [], False
        self.real_append, self.offline.append = self.offline.append, self._append
        self.spaces = Documents()
        config = KafkaConfig(flush_seconds=1000)
        buffer = OfflineBuffer(self.offline)
        self.loop = StreamLoop(
            self.log, self.handler, self.store, self.spaces, buffer, self.letters,
            partial(decode, fields={}), config,
            StreamMetrics(), Health(),
        )  # fmt: skip
        self.loop.turn()  # takes up the partition

    def _append(self, dataset, table):
        if self.broken:
            raise OSError("disk full")
        self.appended.append(dataset)
        self.real_append(dataset, table)

    def checkpoint(self):
        [row] = self.store.read_rows([online.CHECKPOINT_KEY])
        [raw] = [raw for field, raw in row.items() if field != online.FILLED_FIELD]
        return online.PartitionCheckpoint.model_validate_json(raw)


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.store.close()


def test_a_record_that_cannot_be_used_is_a_dead_letter_alone(scene):
    scene.log.send("i0", "poison", "i2")
    scene.loop.turn()
    assert [offset for offset, _ in scene.letters.found] == [1]
    assert "ValueError: vectors are not finite" in scene.letters.found[0][1]
    assert scene.checkpoint().next_offset == 3
    scene.loop.flush()
    assert sorted(scene.offline.interactions()[c.ITEM_ID]) == ["i0", "i2"]


def test_a_batch_of_nothing_else_is_dead_letters_too_but_not_a_whole_stream(scene):
    scene.log.send("poison1", "poison2")
    scene.loop.turn()
    assert [offset for offset, _ in scene.letters.found] == [0, 1]
    scene.log.send(*(f"poison{number}" for number in range(30)))
    with pytest.raises(ValueError, match="not finite"):
        scene.loop.turn()
    assert len(scene.letters.found) == 2


def test_a_new_document_is_named_only_after_a_flush_and_until_it_is(scene):
    scene.log.send("i0")
    scene.loop.turn()
    assert (scene.checkpoint().document_version, scene.appended) == (1, [])
    scene.spaces.document.version, scene.broken = 2, True
    scene.loop.turn()
    assert scene.checkpoint().document_version == 1
    scene.broken = False
    deadline = time.monotonic() + 10
    while scene.checkpoint().document_version == 1:
        assert time.monotonic() < deadline
        scene.loop.turn()
    assert scene.appended == [offline.INTERACTIONS]
    assert scene.log.commits == [{PLACE: 1}]
    prepared = scene.handler.prepared
    scene.loop.turn()
    assert scene.handler.prepared == prepared


def test_a_request_to_forget_is_flushed_at_once_and_first(scene):
    scene.log.send("i0")
    scene.loop.turn()
    assert scene.appended == []
    scene.log.send("forget")
    scene.loop.turn()
    assert scene.appended == [offline.FORGOTTEN, offline.INTERACTIONS]
    assert scene.log.commits == [{PLACE: 2}]


def test_a_lost_flush_is_no_crash(scene):
    scene.log.send("forget")
    scene.broken = True
    scene.loop.turn()
    assert (scene.appended, scene.log.commits) == ([], [])
    with pytest.raises(StoreUnavailable):
        scene.loop.flush()
