"""Features for a ranking call, through Feast and the slot's FeatureService.

One call resolves slot → ranker version → FeatureService once and reads nothing of another space. User
and items are read apart: one Feast call for both would repeat the user's vector for every item.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import names
from learn_features.contracts.deployment import DeploymentDocument
from learn_features.errors import DeploymentError, SpaceMismatch, StoreUnavailable
from learn_features.features.feast_store import open_feature_store
from learn_features.release.deployment import DeploymentStore

DOCUMENT_SECONDS = 1.0


@dataclass(frozen=True)
class RankingFeatures:
    """What a ranker version reads for one user and n candidate items, all of one space."""

    ranker: str
    space_id: str | None
    user_vector: NDArray[np.float32] | None
    """(D,); None: the user has no vector, or the ranker reads none."""
    item_vectors: NDArray[np.float32]
    """(n, D), rows of zeros where an item has no vector; (n, 0) if the ranker reads none."""
    found: NDArray[np.bool_]
    """(n,): which items have a vector, or any feature if the ranker reads no vectors."""
    values: dict[str, NDArray[np.float64]]
    """Other features of the items by name (n,), NaN where missing; `popularity` among them."""
    as_of: int | None
    """µs since the epoch: when the system knew what the user's vector says; for a policy on its age."""
    item_as_of: NDArray[np.int64]
    """(n,) the same for the items' vectors; 0 where missing."""


class FeatureReader:
    """Reads features of slots or ranker versions; keep one per process, it caches what is slow to open.

    The deployment document is read every `document_seconds` at most: a promotion is seen that fast.
    """

    def __init__(self, config: Config, document_seconds: float = DOCUMENT_SECONDS) -> None:
        self._document_seconds = document_seconds
        self._config = config
        self._deployment = DeploymentStore(config.deployment)
        self._document: DeploymentDocument | None = None
        self._read_at = 0.0
        self._store: Any = None
        self._references: dict[str, dict[str, list[str]]] = {}

    @property
    def document(self) -> DeploymentDocument:
        """The deployment document in force, at most `document_seconds` old."""
        now = time.monotonic()
        if self._document is None or now - self._read_at >= self._document_seconds:
            self._document, self._read_at = self._deployment.read(), now
        return self._document

    def ranking(self, slot_or_ranker: str, user_id: str, item_ids: Sequence[str]) -> RankingFeatures:
        """Features of `user_id` and `item_ids` for the ranker in a slot, or for a ranker version by name.

        Raises `DeploymentError` for an unknown name, `SpaceMismatch` if a vector is not of the ranker's
        space, `StoreUnavailable` if Feast cannot read.
        """
        document = self.document
        ranker = resolve(document, slot_or_ranker)
        space_id = document.rankers[ranker].space_id
        references = self._references_of(ranker)
        items = self._read(references.get(c.ITEM_ID, []), c.ITEM_ID, list(item_ids))
        values = {name: column.numbers() for name, column in items.items() if name != names.ITEM_VECTOR}
        if space_id is None:
            known = [~np.isnan(column) for column in values.values()]
            found = np.any(known, axis=0) if known else np.zeros(len(item_ids), bool)
            none = np.zeros((len(item_ids), 0), np.float32)
            return RankingFeatures(
                ranker, None, None, none, found, values, None, np.zeros(len(item_ids), np.int64)
            )
        dimension = document.spaces[space_id].dimension
        user = self._read(references.get(c.USER_ID, []), c.USER_ID, [user_id])[names.USER_VECTOR]
        vectors, found = items[names.ITEM_VECTOR].vectors(dimension, space_id)
        [user_vector], [has_vector] = user.vectors(dimension, space_id)
        return RankingFeatures(
            ranker=ranker,
            space_id=space_id,
            user_vector=user_vector if has_vector else None,
            item_vectors=vectors,
            found=found,
            values=values,
            as_of=int(user.as_of()[0]) if has_vector else None,
            item_as_of=np.where(found, items[names.ITEM_VECTOR].as_of(), 0),
        )

    def _references_of(self, ranker: str) -> dict[str, list[str]]:
        """`view:feature` references of the ranker's FeatureService by join key."""
        if ranker not in self._references:
            from feast.errors import FeatureServiceNotFoundException

            if self._store is None:
                self._store = open_feature_store(self._config)
            try:
                service = self._store.get_feature_service(ranker)
            except FeatureServiceNotFoundException:
                raise DeploymentError(
                    f"Feast's registry has no FeatureService {ranker}; run learn-features spaces declare"
                ) from None
            by_key: dict[str, list[str]] = {}
            for projection in service.feature_view_projections:
                view = self._store.get_feature_view(projection.name)
                for feature in projection.features:
                    by_key.setdefault(view.entity_columns[0].name, []).append(
                        f"{projection.name_to_use()}:{feature.name}"
                    )
            self._references[ranker] = by_key
        return self._references[ranker]

    def _read(self, references: list[str], join_key: str, ids: list[str]) -> dict[str, "_Column"]:
        if not ids:
            return {reference.partition(":")[2]: _Column([], []) for reference in references}
        from feast.errors import FeastError

        try:
            response = self._store.get_online_features(references, {join_key: ids}).proto
        except FeastError as error:
            raise StoreUnavailable(f"Feast cannot read {', '.join(references)}: {error}") from error
        columns = zip(response.metadata.feature_names.val, response.results, strict=True)
        return {name: _Column(part.values, part.event_timestamps) for name, part in columns}


def resolve(document: DeploymentDocument, slot_or_ranker: str) -> str:
    """The ranker version in a slot, or the one of that name. Raises `DeploymentError` for neither."""
    if slot_or_ranker in document.slots:
        return document.slots[slot_or_ranker].ranker
    if slot_or_ranker in document.rankers:
        return slot_or_ranker
    raise DeploymentError(
        f"{slot_or_ranker} is neither a slot ({', '.join(document.slots) or 'there is none yet'}) nor a "
        f"ranker version ({', '.join(document.rankers) or 'there is none yet'}); "
        f"learn-features spaces promote fills a slot"
    )


@dataclass(frozen=True)
class _Column:
    """One feature of Feast's response: protobuf values and timestamps, one a row."""

    values: Sequence[Any]
    timestamps: Sequence[Any]

    def vectors(self, dimension: int, space_id: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(n, D) float32 with rows of zeros where there is none, and which there are (n,)."""
        vectors = np.zeros((len(self.values), dimension), np.float32)
        found = np.zeros(len(self.values), bool)
        for row, value in enumerate(self.values):
            numbers = value.float_list_val.val
            if not numbers:
                continue
            if len(numbers) != dimension:
                raise SpaceMismatch(
                    f"a stored vector has {len(numbers)} numbers, space {space_id} has {dimension}"
                )
            vectors[row], found[row] = numbers, True
        return vectors, found

    def numbers(self) -> NDArray[np.float64]:
        """(n,) float64, NaN for null and for what is no number."""
        found = np.full(len(self.values), np.nan)
        for row, value in enumerate(self.values):
            kind = value.WhichOneof("val")
            if kind in ("int64_val", "int32_val", "float_val", "double_val", "bool_val"):
                found[row] = getattr(value, kind)
        return found

    def as_of(self) -> NDArray[np.int64]:
        """(n,) µs since the epoch."""
        return np.array(
            [stamp.seconds * 1_000_000 + stamp.nanos // 1_000 for stamp in self.timestamps], np.int64
        )
