"""The deployment document's store: every version a new file, created only if absent.

Create-if-absent is the compare-and-swap: whoever creates `00000042.json` first has written version 42,
everybody else reads again. Locally that is: write aside, fsync, `os.link`.
"""

import os
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from learn_features.config import Config
from learn_features.contracts import times
from learn_features.contracts.deployment import DeploymentDocument, Space, SpaceState
from learn_features.durable import sync
from learn_features.errors import ConfigError, DeploymentConflict, DeploymentError

_NAME = re.compile(r"(\d{8})\.json")
_ATTEMPTS = 50
_PAUSE_SECONDS = 0.02
_NEXT_STATES = {
    SpaceState.FILLING: {SpaceState.READY, SpaceState.RETIRED},
    SpaceState.READY: {SpaceState.RETIRED},
    SpaceState.RETIRED: {SpaceState.FILLING},
}


class DeploymentStore:
    """The documents in the local folder `uri`, which is created at the first write.

    Raises `ConfigError` for URIs of object stores: their create-if-absent is not proved yet.
    """

    def __init__(self, uri: str) -> None:
        if "://" in uri and not uri.startswith("file://"):
            raise ConfigError(f"{uri}: the deployment document needs a local folder; set `state` to a path")
        self._folder = Path(uri.removeprefix("file://"))
        self._last: DeploymentDocument | None = None

    def read(self) -> DeploymentDocument:
        """The document in force: the highest version; version 0, empty, where there is none.

        Files never change once there, so an unchanged version is not read again. Raises
        `DeploymentError` if the highest one is invalid; it is never skipped.
        """
        version = max(self.versions(), default=0)
        if self._last is None or self._last.version != version:
            self._last = self.read_version(version)
        return self._last

    def read_version(self, version: int) -> DeploymentDocument:
        """One version of the past. Raises `DeploymentError` if it is missing or invalid."""
        if version == 0:
            return DeploymentDocument(version=0, created_at=times.BASE_DATE)
        file = self._folder / f"{version:08d}.json"
        try:
            document = DeploymentDocument.from_json(file.read_bytes())
        except (OSError, ValueError) as error:
            raise DeploymentError(
                f"{file}: not a valid deployment document: {error}; restore the file, "
                f"or remove it if the version before it shall be in force"
            ) from None
        if document.version != version:
            raise DeploymentError(f"{file}: says it is version {document.version}; restore the file")
        return document

    def versions(self) -> list[int]:
        """Versions that exist, ascending."""
        try:
            found = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for name in found if (match := _NAME.fullmatch(name)))

    def update(self, change: Callable[[DeploymentDocument], DeploymentDocument]) -> DeploymentDocument:
        """Write the next version: `change` applied to the one in force, again for every conflict.

        `change` may be called several times and must have no effect of its own; returning its argument
        writes nothing. `version` and `created_at` of its result are overwritten. Raises
        `DeploymentError` for a document that is inconsistent or a step that is not allowed.
        """
        for _ in range(_ATTEMPTS):
            before = self.read()
            changed = change(before)
            if changed == before:
                return before
            content = {**changed.model_dump(), "version": before.version + 1, "created_at": datetime.now(UTC)}
            try:
                after = DeploymentDocument.model_validate(content)
            except ValueError as error:
                raise DeploymentError(f"the change is not possible: {error}") from None
            _check_step(before, after)
            if self._create(after):
                return after
            time.sleep(random.uniform(0, _PAUSE_SECONDS))
        raise DeploymentConflict(f"{self._folder}: {_ATTEMPTS} times another writer was first; try again")

    def _create(self, document: DeploymentDocument) -> bool:
        """Whether this call created the document's file; False: somebody else had."""
        self._folder.mkdir(parents=True, exist_ok=True)
        aside = self._folder / f".{document.version:08d}-{uuid4().hex}"
        try:
            with aside.open("xb") as file:
                file.write(document.to_json())
                file.flush()
                os.fsync(file.fileno())
            os.link(aside, self._folder / f"{document.version:08d}.json")
        except FileExistsError:
            return False
        finally:
            aside.unlink(missing_ok=True)
        sync(self._folder)
        return True


def bundle_uri(config: Config, space: Space) -> str:
    """Where the space's bundle is: as the document says, or below the state folder."""
    absolute = "://" in space.bundle or space.bundle.startswith("/")
    return space.bundle if absolute else config.below_state(space.bundle)


def _check_step(before: DeploymentDocument, after: DeploymentDocument) -> None:
    """Rankers are immutable, spaces change their state only and in order, nothing disappears."""
    for name, ranker in before.rankers.items():
        if after.rankers.get(name) != ranker:
            raise DeploymentError(f"ranker {name} exists and cannot change; publish another version")
    for space_id, space in before.spaces.items():
        new = after.spaces.get(space_id)
        if new is None or new.model_copy(update={"state": space.state}) != space:
            raise DeploymentError(f"space {space_id} exists; only its state can change")
        if new.state is not space.state and new.state not in _NEXT_STATES[space.state]:
            raise DeploymentError(f"space {space_id} is {space.state}; it cannot become {new.state}")
