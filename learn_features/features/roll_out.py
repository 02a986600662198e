"""A new space without a hole: begin → fill → check → ready → promote; and back.

begin     declare its views, then the document says `filling`: consumers embed every event into it too
fill      wait until every partition's checkpoint names that document, backfill, sweep
check     coverage, consistency and staleness; ready refuses a space that does not pass
promote   moves a slot to a ranker version; roll_back moves it back; nothing else changes
"""

import time
from collections.abc import Callable

from learn_features.config import Config
from learn_features.contracts import online
from learn_features.contracts.deployment import DeploymentDocument, RankerVersion, Slot, Space, SpaceState
from learn_features.contracts.names import ranker_version
from learn_features.errors import DeploymentError, GateFailed
from learn_features.features.backfill import BackfillReport, Progress, backfill, embedded_space
from learn_features.features.consistency import RollOutReport, measure
from learn_features.features.declarations import declare
from learn_features.features.row_store import RowStore
from learn_features.features.rows import open_row_store
from learn_features.features.staleness import stale_users
from learn_features.release.bundle import open_bundle
from learn_features.release.deployment import DeploymentStore

SendRefresh = Callable[[str], None]
_POLL_SECONDS = 0.2


def begin(config: Config, bundle: str) -> str:
    """Take the bundle's space in as `filling`, with its `dot-product` ranker; its space id.

    A space that is filling or ready already stays as it is; a retired one begins again.
    """
    manifest = open_bundle(bundle).manifest
    space_id = manifest.space_id
    space = Space(
        state=SpaceState.FILLING,
        bundle=_relative(config, bundle),
        encoder=manifest.encoder,
        history=manifest.history,
        dimension=manifest.dimension,
        data_cutoff=manifest.data_cutoff,
    )

    def with_space(document: DeploymentDocument) -> DeploymentDocument:
        known = document.spaces.get(space_id)
        if known is not None and known.state is not SpaceState.RETIRED:
            return document
        new = space if known is None else known.model_copy(update={"state": SpaceState.FILLING})
        rankers = {
            ranker_version(ranker.kind, ranker.space_id): ranker
            for ranker in (
                RankerVersion(kind="popularity"),
                RankerVersion(kind="dot-product", space_id=space_id),
            )
        }
        return document.model_copy(
            update={
                "spaces": {**document.spaces, space_id: new},
                "rankers": {**rankers, **document.rankers},
            }
        )

    store = DeploymentStore(config.deployment)
    # Feast's objects are there before the document names them.
    declare(config, with_space(store.read()))
    store.update(with_space)
    return space_id


def fill(
    config: Config,
    space_id: str,
    *,
    window_days: int = 1,
    wait_seconds: float = 60,
    send_refresh: SendRefresh | None = None,
    progress: Progress | None = None,
) -> BackfillReport:
    """Backfill the space once every consumer embeds into it, then refresh who is stale.

    `send_refresh` sends a `user_refresh` record; without it, nobody consumes and the backfill itself
    has brought every user up to date. Raises `GateFailed` if a consumer does not follow in time.
    """
    wait_for_consumers(config, space_id, wait_seconds)
    report = backfill(config, space_id, window_days=window_days, progress=progress)
    if send_refresh is not None:
        sweep(config, space_id, send_refresh, wait_seconds)
    return report


def sweep(config: Config, space_id: str, send_refresh: SendRefresh, wait_seconds: float = 0) -> int:
    """Send a refresh for every stale user, and wait until none is left or the time is over; how many."""
    sent = 0
    for user_id in stale_users(config, space_id):
        send_refresh(user_id)
        sent += 1
    deadline = time.monotonic() + wait_seconds
    while sent and time.monotonic() < deadline and next(stale_users(config, space_id), None) is not None:
        time.sleep(_POLL_SECONDS)
    return sent


def wait_for_consumers(config: Config, space_id: str, wait_seconds: float) -> None:
    """Until every partition's checkpoint names a document version that knows the space.

    Where there are no checkpoints nothing consumes. Raises `GateFailed` with the partitions left.
    """
    embedded_space(config, space_id)
    needed = _known_since(DeploymentStore(config.deployment), space_id)
    deadline = time.monotonic() + wait_seconds
    rows = open_row_store(config)
    try:
        while True:
            behind = [part for part in _checkpoints(rows) if part.document_version < needed]
            if not behind:
                return
            if time.monotonic() >= deadline:
                break
            time.sleep(_POLL_SECONDS)
    finally:
        rows.close()
    named = ", ".join(f"{p.topic}-{p.partition} (at version {p.document_version})" for p in behind)
    raise GateFailed(
        f"space {space_id} is known since deployment version {needed}, but after {wait_seconds:.0f} s these "
        f"partitions' checkpoints name an older one: {named}; is a consumer assigned to each? "
        f"Start learn-features consume items and learn-features consume interactions"
    )


def is_consumed(config: Config) -> bool:
    """Whether any consumer has ever written a checkpoint."""
    rows = open_row_store(config)
    try:
        return bool(_checkpoints(rows))
    finally:
        rows.close()


def _checkpoints(rows: RowStore) -> list[online.PartitionCheckpoint]:
    [fields] = rows.read_rows([online.CHECKPOINT_KEY])
    return [
        online.PartitionCheckpoint.model_validate_json(raw)
        for name, raw in fields.items()
        if "/" in name  # topic id / partition
    ]


def check(config: Config, space_id: str) -> RollOutReport:
    """The space's gates. Raises `GateFailed` with every problem found."""
    report = measure(config, space_id, embedded_space(config, space_id))
    if report.problems:
        raise GateFailed(f"space {space_id} is not ready:\n  " + "\n  ".join(report.problems))
    return report


def ready(config: Config, space_id: str) -> RollOutReport:
    """Check the space and call it ready; rankers of it may then be promoted."""
    report = check(config, space_id)
    DeploymentStore(config.deployment).update(lambda d: _in_state(d, space_id, SpaceState.READY))
    return report


def promote(config: Config, ranker: str, slot: str | None = None) -> DeploymentDocument:
    """Put a ranker version into a slot (default: the configured one). Refuses a space not ready."""
    name = slot or config.slot

    def moved(document: DeploymentDocument) -> DeploymentDocument:
        version = document.rankers.get(ranker)
        if version is None:
            known = ", ".join(document.rankers) or "none"
            raise DeploymentError(f"ranker {ranker} is not in the deployment document (there: {known})")
        space = document.spaces[version.space_id] if version.space_id else None
        if space is not None and space.state is not SpaceState.READY:
            raise DeploymentError(
                f"ranker {ranker}: its space is {space.state}; run learn-features spaces ready "
                f"{version.space_id} first"
            )
        now = document.slots.get(name)
        if now is not None and now.ranker == ranker:
            return document
        new = Slot(ranker=ranker, previous=now.ranker if now else None)
        return document.model_copy(update={"slots": {**document.slots, name: new}})

    return DeploymentStore(config.deployment).update(moved)


def roll_back(config: Config, slot: str | None = None) -> DeploymentDocument:
    """Put the slot's previous ranker back; doing it twice undoes it."""
    name = slot or config.slot

    def moved(document: DeploymentDocument) -> DeploymentDocument:
        now = document.slots.get(name)
        if now is None or now.previous is None:
            raise DeploymentError(f"slot {name} has no previous ranker to go back to")
        back = Slot(ranker=now.previous, previous=now.ranker)
        return document.model_copy(update={"slots": {**document.slots, name: back}})

    return DeploymentStore(config.deployment).update(moved)


def retire(config: Config, space_id: str) -> DeploymentDocument:
    """Stop embedding into a space that no slot, previous slot or running experiment reads."""

    def retired(document: DeploymentDocument) -> DeploymentDocument:
        if space_id in document.live_spaces:
            raise DeploymentError(f"space {space_id} is read by a slot, its previous value or an experiment")
        return _in_state(document, space_id, SpaceState.RETIRED)

    return DeploymentStore(config.deployment).update(retired)


def _in_state(document: DeploymentDocument, space_id: str, state: SpaceState) -> DeploymentDocument:
    if space_id not in document.spaces:
        raise DeploymentError(f"space {space_id} is not in the deployment document")
    space = document.spaces[space_id].model_copy(update={"state": state})
    return document.model_copy(update={"spaces": {**document.spaces, space_id: space}})


def _known_since(store: DeploymentStore, space_id: str) -> int:
    """The version from which on the space was embedded into without a break."""
    since = store.read().version
    while since > 1 and space_id in store.read_version(since - 1).embedded_spaces:
        since -= 1
    return since


def _relative(config: Config, bundle: str) -> str:
    prefix = config.state.rstrip("/") + "/"
    return bundle[len(prefix) :] if bundle.startswith(prefix) else bundle
