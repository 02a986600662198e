"""How soon a change is readable through Feast, asked the way any ranking model would ask."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from learn_features.contracts import columns as c
from learn_features.contracts import names
from learn_features.errors import ServiceError

if TYPE_CHECKING:
    from feast import FeatureStore

WITHIN_SECONDS = 60.0
_POLL_SECONDS = 0.01


class Freshness:
    """Plain `get_online_features` on the views of one space."""

    def __init__(self, store: "FeatureStore", space_id: str, rule_id: str) -> None:
        self._store = store
        self._item = f"{names.item_embedding_view(space_id)}:{names.ITEM_VECTOR}"
        self._user = f"{names.user_embedding_view(space_id)}:{names.USER_VECTOR}"
        self._history = f"{names.user_history_view(rule_id)}:{names.HISTORY_EVENT_IDS}"

    def item_vector(self, item_id: str) -> list[float] | None:
        return self._read([self._item], {c.ITEM_ID: item_id})[names.ITEM_VECTOR]

    def user_vector(self, user_id: str) -> list[float] | None:
        return self._read([self._user], {c.USER_ID: user_id})[names.USER_VECTOR]

    def wait_for_item(self, item_id: str, since: float) -> float:
        """Seconds from `since` (monotonic) until the item has a vector."""
        return _wait(lambda: self.item_vector(item_id) is not None, since, f"item {item_id}'s embedding")

    def wait_for_user(
        self, user_id: str, event_ids: set[str], before: list[float] | None, since: float
    ) -> float:
        """Seconds until the user's history holds `event_ids` and the vector differs from `before`."""

        def changed() -> bool:
            row = self._read([self._user, self._history], {c.USER_ID: user_id})
            held = set(row[names.HISTORY_EVENT_IDS] or ())
            return event_ids <= held and row[names.USER_VECTOR] not in (None, before)

        return _wait(changed, since, f"user {user_id}'s embedding")

    def _read(self, features: list[str], row: dict[str, str]) -> dict[str, Any]:
        answer = self._store.get_online_features(features=features, entity_rows=[row]).to_dict()
        return {name: values[0] for name, values in answer.items()}


def _wait(done: Callable[[], bool], since: float, what: str) -> float:
    while not done():
        if time.monotonic() - since > WITHIN_SECONDS:
            raise ServiceError(
                f"{what} is not readable after {WITHIN_SECONDS:.0f} s; the consumers' logs say why"
            )
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - since
