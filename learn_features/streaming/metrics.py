"""All metrics of the consumers.

Every name begins with `learn_features_`; labels in brackets.

  records_total {topic}                 records read and used
  dead_letters_total {topic}            records sent to the dead-letter topic
  batches_total                         batches written to the online rows
  batch_records                         histogram: records a batch
  handle_seconds                        histogram: decode to checkpoint of a batch
  freshness_seconds {topic}             histogram: append → readable, of the oldest record of a batch
  lag_records {topic,partition}         records appended and not yet read
  owned_partitions                      partitions this member owns
  rebalances_total                      assignments taken up
  restarts_total                        starts from the checkpoint because store and member disagreed
  write_conflicts_total                 rows read, merged and written again after another writer
  store_failures_total                  attempts that found a store or the broker out of reach
  flush_seconds                         histogram: offline log, producers and commit
  offline_rows_total {dataset}          rows appended to the offline log
  space_failures_total {space}          batches that a space not live failed to embed
  document_version                      deployment document in force here
"""

import threading
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PREFIX = "learn_features"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_RECORDS = (1, 2, 5, 10, 50, 100, 500, 1000, 2000, 5000)


class StreamMetrics:
    """The metrics of one consumer, on a registry of its own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        counter, gauge = self._counter, self._gauge
        self.records = counter("records", "Records read and used", "topic")
        self.dead_letters = counter("dead_letters", "Records sent to the dead-letter topic", "topic")
        self.batches = counter("batches", "Batches written to the online rows")
        self.batch_records = self._histogram("batch_records", "Records a batch", _RECORDS)
        self.handle_seconds = self._histogram("handle_seconds", "Decode to checkpoint of a batch", _SECONDS)
        self.freshness = self._histogram("freshness_seconds", "Append to readable", _SECONDS, "topic")
        self.lag = gauge("lag_records", "Records appended and not yet read", "topic", "partition")
        self.owned = gauge("owned_partitions", "Partitions this member owns")
        self.rebalances = counter("rebalances", "Assignments taken up")
        self.restarts = counter("restarts", "Starts from the checkpoint again")
        self.conflicts = counter("write_conflicts", "Rows written again after another writer")
        self.store_failures = counter("store_failures", "Attempts that found a store out of reach")
        self.flush_seconds = self._histogram("flush_seconds", "Offline log, producers, commit", _SECONDS)
        self.offline_rows = counter("offline_rows", "Rows appended to the offline log", "dataset")
        self.space_failures = counter("space_failures", "Batches a space failed to embed", "space")
        self.document_version = gauge("document_version", "Deployment document in force here")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"{_PREFIX}_{name}", text, labels, registry=self.registry, buckets=buckets)


class Health:
    """What a probe may know: the loop turns, and it is at work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turned_at = time.monotonic()
        self._problem: str | None = "not started"

    def turned(self, problem: str | None) -> None:
        """The loop has gone round; `problem` says why it does no work, None that it does."""
        with self._lock:
            self._turned_at, self._problem = time.monotonic(), problem

    def seconds_since_turn(self) -> float:
        with self._lock:
            return time.monotonic() - self._turned_at

    @property
    def problem(self) -> str | None:
        with self._lock:
            return self._problem
