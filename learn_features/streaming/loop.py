"""The loop of both consumers: poll → decode → handle → checkpoint; now and then flush and commit.

What holds at every moment, and so after a crash at any:
  the rows contain every record below the checkpoint (written after the rows), and
  the offline log contains every record below the group's commit (written after the flush).
A consumer reads from the lower of the two, and handling a record twice changes nothing.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from learn_features.config import KafkaConfig
from learn_features.errors import BadRecord, DataError, StoreUnavailable
from learn_features.features.row_store import RowStore
from learn_features.streaming.checkpoints import Checkpoints, StartAgain, start_positions
from learn_features.streaming.dead_letters import DeadLetters
from learn_features.streaming.handler import GuardedRows, Handler
from learn_features.streaming.metrics import Health, StreamMetrics
from learn_features.streaming.offline_buffer import Append, OfflineBuffer
from learn_features.streaming.records import Event, Partition, Record
from learn_features.streaming.spaces import Spaces

POLL_SECONDS = 0.2
_BACK_OFF_SECONDS = (0.2, 10.0)
_DATA_PROBLEMS = (DataError, ValueError, ArithmeticError)
_SYSTEMATIC = 20
"""When the first so many records of a batch all fail alone, it is not the records."""
_log = logging.getLogger(__name__)


class Log(Protocol):
    """The topics as one member of a group sees them; see `partitions.Partitions`."""

    def poll(self, seconds: float) -> list[Record]: ...
    def new_assignment(self) -> list[Partition] | None: ...
    def refreshed_ids(self) -> bool: ...
    def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]: ...
    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, int | None]: ...
    def start(self, positions: Mapping[Partition, int]) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def commit(self, positions: Mapping[Partition, int]) -> bool: ...
    def lag(self) -> dict[Partition, int]: ...
    def close(self) -> None: ...


class StreamLoop:
    """One consumer at work; `run` returns when asked to stop and raises what it cannot mend."""

    def __init__(
        self,
        log: Log,
        handler: Handler,
        store: RowStore,
        spaces: Spaces,
        offline: OfflineBuffer,
        dead_letters: DeadLetters,
        decode: Callable[[Record], Event],
        config: KafkaConfig,
        metrics: StreamMetrics,
        health: Health,
    ) -> None:
        self._log = log
        self._handler = handler
        self._checkpoints = Checkpoints(store)
        self._rows = GuardedRows(store, self._checkpoints)
        self._spaces = spaces
        self._offline = offline
        self._dead_letters = dead_letters
        self._decode = decode
        self._config = config
        self._metrics = metrics
        self._health = health
        self._owned: list[Partition] = []
        self._started = False
        self._named: int | None = None
        """Deployment document that the checkpoints of all owned partitions name."""
        self._held: list[Record] = []
        self._positions: dict[Partition, int] = {}
        self._flushed_at = time.monotonic()
        self._back_off = 0.0
        self._retry_at = 0.0

    def run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self.turn()
            self._finish()
        finally:
            self._log.close()

    def turn(self) -> None:
        """Once round: poll, and whatever that gives to do."""
        try:
            self._held += self._log.poll(POLL_SECONDS)
        except StoreUnavailable as problem:
            self._slow_down(problem)
            time.sleep(POLL_SECONDS)
        assigned = self._log.new_assignment()
        if assigned is not None:
            self._owned, self._started = assigned, False
            self._held.clear()
            self._metrics.rebalances.inc()
            self._metrics.owned.set(len(assigned))
        if time.monotonic() < self._retry_at:
            self._health.turned("a store is out of reach")
            return
        try:
            if not self._started:
                self._start()
            self._spaces.refresh()
            if self._spaces.document.version != self._named:
                self._take_up_document()
            if self._held:
                self._handle()
            if self._flush_is_due():
                self.flush()
            if self._back_off:
                self._back_off = 0.0
                self._log.resume()
        except StartAgain as reason:
            _log.warning("starting again from the checkpoint: %s", reason)
            self._metrics.restarts.inc()
            self._started = False
            self._log.pause()
        except StoreUnavailable as problem:
            self._slow_down(problem)
        self._health.turned(None if self._owned and self._started else "no partition owned yet")

    def flush(self) -> None:
        """Everything handled so far: into the offline log, dead letters acknowledged, then committed."""
        with self._metrics.flush_seconds.time():
            for dataset, rows in self._offline.flush().items():
                self._metrics.offline_rows.labels(dataset).inc(rows)
            self._dead_letters.flush()
            self._flushed_at = time.monotonic()
            if self._positions and not self._log.commit(self._positions):
                _log.warning("not committed: the group has moved on; the next owner reads it again")
        for partition, records in self._log.lag().items():
            self._metrics.lag.labels(partition.topic, str(partition.number)).set(records)

    def _take_up_document(self) -> None:
        """Say in the checkpoints that from here on records go into the spaces of a new document.

        Those before are in the offline log by then: the backfill of a new space relies on it.
        """
        self._handler.prepare()
        self.flush()
        self._checkpoints.save(self._positions, self._spaces.document.version)
        self._named = self._spaces.document.version

    def _start(self) -> None:
        """Take up the owned partitions: nothing read or handled before counts any more."""
        self._held.clear()
        self._offline.drop()
        self._positions = {}
        if self._owned:
            checkpoints = self._checkpoints.load(self._owned)
            named = [checkpoint.document_version for checkpoint in checkpoints.values() if checkpoint]
            self._spaces.require(max(named, default=0))
            self._log.refreshed_ids()
            bounds = self._log.bounds(self._owned)
            start = start_positions(checkpoints, self._log.committed(self._owned), bounds)
            self._positions = start
            self._handler.prepare()
            self._checkpoints.save(start, self._spaces.document.version)
            self._log.start(start)
            places = ", ".join(f"{p.topic}-{p.number}@{offset}" for p, offset in sorted(start.items()))
            _log.info("reading %s", places)
        self._flushed_at = time.monotonic()
        self._named = self._spaces.document.version
        self._started = True

    def _handle(self) -> None:
        with self._metrics.handle_seconds.time():
            good: list[tuple[Record, Event]] = []
            bad: list[tuple[Record, str]] = []
            for record in self._held:
                try:
                    good.append((record, self._decode(record)))
                except BadRecord as problem:
                    bad.append((record, str(problem)))
            appends = self._applied(good, bad)
            positions = self._positions | {r.partition: r.offset + 1 for r in self._held}
            self._checkpoints.save(positions, self._spaces.document.version)
            for record, reason in bad:
                self._dead_letters.add(record, reason)
        self._offline.add(appends)
        self._positions = positions
        self._count(bad)
        self._held = []

    def _applied(self, good: Sequence[tuple[Record, Event]], bad: list[tuple[Record, str]]) -> list[Append]:
        """What follows from the events. Where they cannot be used together, each is tried alone, and one
        that still cannot goes to `bad`."""
        if not good:
            return []
        try:
            return self._handler.handle([event for _, event in good], self._rows)
        except _DATA_PROBLEMS as problem:
            _log.warning("%d records are tried one by one: %s", len(good), problem)
        appends: list[Append] = []
        refused = 0
        for tried, (record, event) in enumerate(good, start=1):
            try:
                appends += self._handler.handle([event], self._rows)
            except _DATA_PROBLEMS as problem:
                refused += 1
                if refused == tried == _SYSTEMATIC:
                    raise
                bad.append((record, f"{type(problem).__name__}: {problem}"))
        return appends

    def _count(self, bad: Sequence[tuple[Record, str]]) -> None:
        metrics, now = self._metrics, time.time()
        metrics.batches.inc()
        metrics.batch_records.observe(len(self._held))
        refused = Counter(record.partition.topic for record, _ in bad)
        oldest: dict[str, int] = {}
        for record in self._held:
            topic = record.partition.topic
            oldest[topic] = min(record.append_us, oldest.get(topic, record.append_us))
        for topic, count in Counter(record.partition.topic for record in self._held).items():
            metrics.records.labels(topic).inc(count - refused[topic])
            metrics.freshness.labels(topic).observe(max(0.0, now - oldest[topic] / 1e6))
        for topic, count in refused.items():
            metrics.dead_letters.labels(topic).inc(count)
        for record, reason in bad:
            _log.warning("dead letter %s: %s", record.place, reason)

    def _flush_is_due(self) -> bool:
        waited = time.monotonic() - self._flushed_at
        due = waited >= self._config.flush_seconds or self._offline.rows >= self._config.flush_rows
        return due or self._offline.urgent

    def _slow_down(self, problem: StoreUnavailable) -> None:
        """Stop reading but keep polling, so that the group does not take the partitions away."""
        least, most = _BACK_OFF_SECONDS
        self._back_off = min(most, max(least, 2 * self._back_off))
        self._retry_at = time.monotonic() + self._back_off
        self._metrics.store_failures.inc()
        self._log.pause()
        _log.warning("%s; again in %.1f s, reading is paused", problem, self._back_off)

    def _finish(self) -> None:
        """Finish the batch in hand, flush, commit; what fails now is read again by the next owner."""
        if not self._started or not self._owned:
            return
        try:
            if self._held:
                self._handle()
            self.flush()
        except (StartAgain, StoreUnavailable) as problem:
            _log.warning("stopped without a last commit, the next start reads again: %s", problem)
