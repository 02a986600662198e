"""Crash injection: a consumer as its own process, killed with SIGKILL at random moments."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import polars as pl

from learn_features.content.encoder import open_encoder
from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.contracts.events import ItemRecord
from learn_features.features.offline_log import OfflineLog
from learn_features.release.bundle import open_bundle
from learn_features.release.runtime import OnnxTowers
from learn_features.streaming.dead_letters import read_dead_letters
from learn_features.streaming.producers import Producer
from tests.oracle import history as oracle
from tests.streaming.world import NOW_US, RULE, StreamWorld, interaction, wait_for

TOLERANCE = 1e-4
TEXT_TOLERANCE = 5e-3
"""Content vectors are fp16, and what is encoded together changes their rounding."""
START_SECONDS = 90


class Consumer:
    """`learn-features consume KIND` of a world, as a process that can be killed and started again."""

    def __init__(self, world: StreamWorld, kind: str, topics: tuple[str, ...]) -> None:
        self._world, self._kind, self._topics = world, kind, topics
        self._log = world.folder / f"{kind}.log"
        self._process: subprocess.Popen | None = None
        self.kills = 0

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "learn_features.cli.main", "consume", self._kind],
                env={**os.environ, "LEARN_CONFIG": str(self._world.config_file), "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(self, *problem: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.kills += 1

    def crash_again_and_again(self, times: int, chance: random.Random) -> None:
        """Kill it at random moments: while it starts, replays, writes, flushes or idles."""
        for _ in range(times):
            self.start()
            before = self._progress()
            if chance.random() < 0.8:  # mostly when it is at work again
                wait_for(lambda before=before: self._progress() > before, START_SECONDS, self._tail())
            time.sleep(chance.uniform(0, 1.2))
            self.kill()

    def finish(self) -> None:
        """Let it read everything, then end it in good order: not before it is at work."""
        seen = self._log.stat().st_size if self._log.exists() else 0
        self.start()
        wait_for(lambda: b": reading " in self._log.read_bytes()[seen:], START_SECONDS, self._tail())
        wait_for(lambda: self._world.caught_up(self._topics), START_SECONDS, self._tail())
        self._process.terminate()
        assert self._process.wait(60) == 0, self._tail()

    def _progress(self) -> int:
        return sum(c.next_offset for c in self._world.checkpoints() if c.topic in self._topics)

    def _tail(self) -> str:
        return "catching up; the log ends with\n" + "\n".join(
            self._log.read_text(errors="replace").splitlines()[-15:]
        )


class Traffic(threading.Thread):
    """Seeded records of all kinds, sent at a steady rate until there are enough."""

    def __init__(self, world: StreamWorld, items: list[str], chance: random.Random, rate: float) -> None:
        super().__init__()
        self._world, self._items, self._chance, self._rate = world, items, chance, rate
        self._ended = threading.Event()
        self.sent = 0

    def run(self) -> None:
        chance, sent = self._chance, []
        with Producer(self._world.config) as producer:
            while not self._ended.wait(1 / self._rate):
                for _ in range(chance.choice((1, 1, 1, 5, 20))):
                    self.sent += 1
                    user, item = f"u{chance.randrange(60)}", chance.choice(self._items)
                    record = interaction(user, item, chance.randrange(3_000))
                    dice = chance.random()
                    if dice < 0.05 and sent:
                        record = chance.choice(sent)  # delivered twice
                    elif dice < 0.07:
                        producer.raw(
                            self._world.config.kafka.topic(names.TOPIC_INTERACTIONS), b"u1", b"{not json"
                        )
                        continue
                    elif dice < 0.09:
                        ahead = {"event_timestamp": time.time_ns() // 1000 + 3_600_000_000}
                        record = record.model_copy(update=ahead)
                    elif dice < 0.11:
                        producer.refresh(user)
                        continue
                    sent.append(record)
                    producer.interaction(record)

    def end(self) -> None:
        self._ended.set()
        self.join()


class ItemTraffic(Traffic):
    """Uploads, changes and deletions."""

    def run(self) -> None:
        chance = self._chance
        with Producer(self._world.config) as producer:
            while not self._ended.wait(1 / self._rate):
                self.sent += 1
                item = chance.choice(self._items)
                dice = chance.random()
                if dice < 0.1:
                    producer.delete_item(item)
                elif dice < 0.15:
                    topic = self._world.config.kafka.topic(names.TOPIC_ITEMS)
                    producer.raw(topic, item.encode(), b'{"item_id": "no title"}')
                else:
                    producer.item(
                        ItemRecord(item_id=item, title=f"{item} number {self.sent}", price=self.sent)
                    )


def check_users(
    world: StreamWorld, space: str, contents: dict[str, np.ndarray], bundle: str
) -> oracle.Expected:
    """Hold online rows, offline log and dead letters against the oracle."""
    state = oracle.expected(world.log(), RULE)
    towers = OnnxTowers(open_bundle(bundle), threads=1)

    def embed(items: list[str], gaps: list[float]) -> bytes:
        content = np.stack([contents[item] for item in items])[None].astype(np.float32)
        residuals = towers.residuals(items)[None]
        return towers.embed_users(content, np.array([len(items)]), residuals, np.float32([gaps]))[0].tobytes()

    vectors = oracle.user_vectors(state.histories, contents.__contains__, embed)
    history_view, vector_view = names.user_history_view(RULE.id), names.user_embedding_view(space)
    users = list(state.histories)
    with world.rows() as rows:
        stored = rows.read_rows([online.entity_key(c.USER_ID, user) for user in users])
        keys = rows.scan_keys(online.entity_key_prefix(c.USER_ID))
        assert set(map(online.entity_value, keys)) == set(users)
    log = OfflineLog(world.config.offline)
    newest = log.embeddings(vector_view).sort(c.AS_OF).unique(c.USER_ID, keep="last", maintain_order=True)
    offline = dict(zip(newest[c.USER_ID], newest[names.USER_VECTOR].to_list(), strict=True))
    for user, row in zip(users, stored, strict=True):
        held = online.decode_history(online.decode_cell(row[history_view]).payload)
        assert held == state.histories[user], f"history of {user}"
        assert user in offline, f"no offline row of {user}"
        payload, wanted = online.decode_cell(row[vector_view]).payload, vectors[user]
        if wanted is None:
            assert payload == online.TOMBSTONE
            assert offline[user] is None
            continue
        got = online.decode_vector(payload)
        np.testing.assert_allclose(got, np.frombuffer(wanted, np.float32), atol=TOLERANCE, err_msg=user)
        np.testing.assert_array_equal(np.float32(offline[user]), got, err_msg=f"offline row of {user}")
    assert set(log.interactions()[c.EVENT_ID]) == state.event_ids
    letters = list(read_dead_letters(world.config, names.TOPIC_INTERACTIONS))
    assert sorted((x.topic, x.partition, x.offset) for x in letters) == sorted(state.dead)
    return state


def check_items(world: StreamWorld, space: str, bundle: str) -> oracle.Expected:
    """The last record of each item is in force, online and offline; each vector is that of its text."""
    state = oracle.expected(world.log(), RULE)
    encoder, towers = open_encoder(world.config.encoder), OnnxTowers(open_bundle(bundle), threads=1)
    view = names.item_embedding_view(space)
    with world.rows() as rows:
        keys = [online.entity_key(c.ITEM_ID, item) for item in state.items]
        stored = rows.read_fields(keys, [view])
    log = OfflineLog(world.config.offline)
    items = {row[c.ITEM_ID]: row for row in log.items(deleted=True).iter_rows(named=True)}
    for (item, record), [raw] in zip(state.items.items(), stored, strict=True):
        cell = online.decode_cell(raw)
        assert (cell.as_of_us, cell.sequence) == state.item_times[item], item
        assert (cell.payload == online.TOMBSTONE) == (record is None), item
        if record is not None:
            texts = encoder.item_texts(pl.DataFrame([{c.TITLE: record.title, c.PRICE: record.price}]))
            wanted = towers.embed_items(encoder.encode(texts), towers.residuals([item]))[0]
            got = online.decode_vector(cell.payload)
            np.testing.assert_allclose(got, wanted, atol=TEXT_TOLERANCE, err_msg=item)
        assert items[item][c.DELETED] == (record is None)
        assert items[item][c.TITLE] == (record.title if record else None)
    letters = list(read_dead_letters(world.config, names.TOPIC_ITEMS))
    assert sorted((x.topic, x.partition, x.offset) for x in letters) == sorted(state.dead)
    return state


__all__ = ["NOW_US", "Consumer", "ItemTraffic", "Traffic", "check_items", "check_users"]
