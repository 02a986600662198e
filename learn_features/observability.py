"""Logging for people and machines. Metric names are listed in `streaming/metrics.py`."""

import logging
import sys


def configure_logging(level: str = "INFO") -> None:
    """Log to stderr, one line a message; called by entry points, never at import."""
    logging.basicConfig(
        level=level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
