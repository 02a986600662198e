"""Logging for people and machines. Metric names are listed in `streaming/metrics.py`."""

import logging
import sys
import time
from collections.abc import Callable

PROGRESS_LOGGER = "learn_features.progress"


def configure_logging(level: str = "INFO") -> None:
    """Log to stderr, one line a message; called by entry points, never at import."""
    logging.basicConfig(
        level=level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )


def logged_progress(what: str, every_seconds: float = 1.0) -> Callable[[int, int], None]:
    """A progress callback for tasks without a terminal: logs `progress <what> <done>/<total>`."""
    log = logging.getLogger(PROGRESS_LOGGER)
    last = 0.0

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done >= total or now - last >= every_seconds:
            last = now
            log.info("progress %s %d/%d", what, done, total)

    return report
