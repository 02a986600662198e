"""The deployment document in force, and the towers of every space that is filling or ready."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

from learn_features.config import Config
from learn_features.contracts.deployment import DeploymentDocument, Space
from learn_features.errors import DeploymentError, StoreUnavailable
from learn_features.release.deployment import DeploymentStore, bundle_uri
from learn_features.streaming.metrics import StreamMetrics

if TYPE_CHECKING:
    from learn_features.release.runtime import OnnxTowers

LOOK_SECONDS = 1.0
_VERSION_DEADLINE_SECONDS = 30.0
_log = logging.getLogger(__name__)

T = TypeVar("T")


class Spaces:
    """Spaces to embed into. Only live ones block: another one that fails is counted and left out."""

    def __init__(
        self, config: Config, metrics: StreamMetrics, device: Literal["cpu", "cuda"] = "cpu"
    ) -> None:
        self._config = config
        self._store = DeploymentStore(config.deployment)
        self._metrics = metrics
        self._device = device
        self._towers: dict[str, OnnxTowers] = {}
        self._looked_at = float("-inf")
        self.document: DeploymentDocument = self._store.read_version(0)

    def refresh(self) -> bool:
        """Look for a newer document, once a second at most; whether one was taken up."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return False
        try:
            document = self._store.read()
        except OSError as error:
            raise StoreUnavailable(f"deployment document {self._config.deployment}: {error}") from error
        self._looked_at = time.monotonic()
        if document.version <= self.document.version:
            return False
        self._take_up(document)
        return True

    def require(self, version: int) -> None:
        """Go on with document `version` or a later one. Raises `DeploymentError` if none comes."""
        deadline = time.monotonic() + _VERSION_DEADLINE_SECONDS
        while True:
            self._looked_at = float("-inf")
            self.refresh()
            if self.document.version >= version:
                return
            if time.monotonic() > deadline:
                raise DeploymentError(
                    f"the online store has been written under deployment document {version}, but the newest "
                    f"in {self._config.deployment} is {self.document.version}; check `state`"
                )
            time.sleep(LOOK_SECONDS)

    def embed(self, work: Callable[[str, Space, "OnnxTowers"], T]) -> dict[str, T]:
        """`work` for every space that is filling or ready; results by space id, without those that failed."""
        found = {}
        live = self.document.live_spaces
        for space_id, space in self.document.embedded_spaces.items():
            try:
                found[space_id] = work(space_id, space, self._open(space_id, space))
            except StoreUnavailable:
                raise
            except Exception:
                if space_id in live:
                    raise
                self._metrics.space_failures.labels(space_id).inc()
                _log.exception("space %s is left out of this batch: it failed to embed", space_id)
        return found

    def _take_up(self, document: DeploymentDocument) -> None:
        self.document = document
        self._metrics.document_version.set(document.version)
        for space_id in set(self._towers) - set(document.embedded_spaces):
            del self._towers[space_id]
        self.embed(lambda space_id, space, towers: None)
        spaces = {space_id: str(space.state) for space_id, space in document.embedded_spaces.items()}
        _log.info("deployment document %d: %s", document.version, spaces or "no space yet")

    def _open(self, space_id: str, space: Space) -> "OnnxTowers":
        from learn_features.release.bundle import open_bundle
        from learn_features.release.runtime import OnnxTowers

        if space_id not in self._towers:
            bundle = open_bundle(bundle_uri(self._config, space))
            self._towers[space_id] = OnnxTowers(bundle, device=self._device)
        return self._towers[space_id]
