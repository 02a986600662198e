"""/metrics, /healthz and /readyz of a consumer."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from learn_features.errors import ConfigError
from learn_features.streaming.metrics import Health, StreamMetrics

STALLED_SECONDS = 300.0
"""A loop that has not gone round for so long is taken for dead: as long as Kafka waits for a poll."""

_log = logging.getLogger(__name__)


@contextmanager
def serve(port: int | None, metrics: StreamMetrics, health: Health) -> Iterator[int | None]:
    """Serve on `port` while the block runs (0: any free one; None: not at all); the port in use."""
    if port is None:
        yield None
        return
    try:
        server = ThreadingHTTPServer(("", port), _handler(metrics, health))
    except OSError as error:
        raise ConfigError(f"service.metrics_port {port}: {error}; set another, or 0 for any") from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    _log.info("metrics, health and readiness on port %d", server.server_port)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(metrics: StreamMetrics, health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
            elif self.path == "/healthz":
                seconds = health.seconds_since_turn()
                self._state(seconds < STALLED_SECONDS, f"last turn {seconds:.1f} s ago")
            elif self.path == "/readyz":
                self._state(health.problem is None, health.problem or "ready")
            else:
                self._answer(404, b"", "text/plain")

        def log_message(self, format: str, *args: object) -> None:
            _log.debug(format, *args)

        def _state(self, good: bool, text: str) -> None:
            body = json.dumps({"ok": good, "detail": text}).encode() + b"\n"
            self._answer(200 if good else 503, body, "application/json")

        def _answer(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
