"""A reader process that reads the slot as fast as it can, and the count of reads that mixed two spaces.

`python -m learn_features.demo.hammer LEARN_YAML REQUESTS RESULT` reads the file REQUESTS,
`{"slot": …, "requests": [[user, [item, …]], …]}`, and asks for these round robin until its stdin closes;
then it writes a `HammerResult` as JSON. What it saw is judged afterwards against the stored rows
themselves: a read is mixed unless its user vector *and* all its item vectors are those of one and the
same space.
"""

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learn_features.config import Config, load
from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.durable import write_text
from learn_features.errors import LearnFeaturesError, ServiceError
from learn_features.features.row_store import RowStore

Request = tuple[str, list[str]]


@dataclass(frozen=True)
class HammerResult:
    """What the reader saw."""

    reads: int
    errors: int
    first_error: str | None
    seen: list[tuple[int, str, str, int]]
    """(request, digest of the user vector, digest of the item vectors, how often)."""
    timeline: list[tuple[int, str, int]]
    """(tenths of a second of the machine's monotonic clock, space that the reader named, reads)."""
    p50_ms: float
    p99_ms: float


def digest(vectors: NDArray[np.float32] | None) -> str:
    """A short name for exact vectors; `none` for a missing user vector."""
    if vectors is None:
        return "none"
    return hashlib.sha256(np.ascontiguousarray(vectors, dtype="<f4").tobytes()).hexdigest()[:16]


class Hammer:
    """Starts the reader process; `stop` returns what it saw."""

    def __init__(self, config_file: Path, folder: Path, slot: str, requests: Sequence[Request]) -> None:
        self._result = folder / "hammer-result.json"
        self._result.unlink(missing_ok=True)
        ready = folder / "hammer-ready"
        ready.unlink(missing_ok=True)
        request_file = folder / "hammer-requests.json"
        request_file.write_text(json.dumps({"slot": slot, "requests": requests, "ready": str(ready)}))
        arguments = [str(config_file), str(request_file), str(self._result)]
        self._log = folder / "hammer.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "learn_features.demo.hammer", *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 120
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise ServiceError(f"the reader did not start; see {self._log}")
            time.sleep(0.05)

    def stop(self) -> HammerResult:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        if not self._result.exists():
            raise ServiceError(f"the reader ended without a result; see {self._log}")
        values = json.loads(self._result.read_text())
        return HammerResult(**values)


def mixed_reads(
    result: HammerResult, requests: Sequence[Request], rows: RowStore, space_ids: Sequence[str]
) -> int:
    """Reads whose vectors are not all those stored for one space."""
    whole: set[tuple[int, str, str]] = set()
    for number, (user_id, item_ids) in enumerate(requests):
        user_key = online.entity_key(c.USER_ID, user_id)
        item_keys = [online.entity_key(c.ITEM_ID, item_id) for item_id in item_ids]
        for space_id in space_ids:
            [[user_cell]] = rows.read_fields([user_key], [names.user_embedding_view(space_id)])
            cells = rows.read_fields(item_keys, [names.item_embedding_view(space_id)])
            user = None if user_cell is None else online.decode_vector(online.decode_cell(user_cell).payload)
            items = np.stack(
                [online.decode_vector(online.decode_cell(cell).payload) for [cell] in cells if cell]
            )
            whole.add((number, digest(user), digest(items)))
    return sum(count for number, user, items, count in result.seen if (number, user, items) not in whole)


def _read_until_closed(config: Config, slot: str, requests: list[Request], ready: Path) -> HammerResult:
    from learn_features.features.reader import FeatureReader

    closed = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        closed.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    reader = FeatureReader(config)
    seen: Counter[tuple[int, str, str]] = Counter()
    timeline: Counter[tuple[int, str]] = Counter()
    errors, first_error, milliseconds = 0, None, []
    number = 0
    while not closed.is_set():
        position = number % len(requests)
        started = time.monotonic()
        try:
            features = reader.ranking(slot, *requests[position])
        except Exception as error:  # every failure of a read is counted, whatever its kind
            errors += 1
            first_error = first_error or repr(error)
        else:
            seen[position, digest(features.user_vector), digest(features.item_vectors)] += 1
            timeline[int(10 * started), features.space_id or "none"] += 1
            milliseconds.append(1000 * (time.monotonic() - started))
        number += 1
        if not ready.exists():
            ready.touch()
    p50, p99 = np.percentile(milliseconds, [50, 99]) if milliseconds else (0.0, 0.0)
    return HammerResult(
        number,
        errors,
        first_error,
        [(*key, count) for key, count in seen.items()],
        [(*key, count) for key, count in sorted(timeline.items())],
        float(p50),
        float(p99),
    )


def main(config_file: str, request_file: str, result_file: str) -> None:
    """Entry of the reader process."""
    job = json.loads(Path(request_file).read_text())
    requests = [(user, items) for user, items in job["requests"]]
    result = _read_until_closed(load(Path(config_file)), job["slot"], requests, Path(job["ready"]))
    write_text(Path(result_file), json.dumps(asdict(result)))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:4])
    except LearnFeaturesError as error:
        sys.exit(f"error: {error}")
