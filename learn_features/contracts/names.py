"""Names of topics, Feast views, features and services. Everything that is named after a space, an
encoder or a rule is spelled here and nowhere else."""

USER_ENTITY = "user"
ITEM_ENTITY = "item"

TOPIC_ITEMS = "items"
TOPIC_INTERACTIONS = "interactions"
TOPIC_USER_REFRESH = "user_refresh"
TOPIC_EXPOSURES = "exposures"
DEAD_LETTER_SUFFIX = ".dlq"

USER_VECTOR = "user_vector"
ITEM_VECTOR = "item_vector"
CONTENT_VECTOR = "content_vector"
HISTORY_TIMESTAMPS = "event_timestamps"
HISTORY_EVENT_IDS = "event_ids"
HISTORY_ITEM_IDS = "item_ids"
POPULARITY = "popularity"

USER_HISTORY_PREFIX = "user_history__"
USER_EMBEDDING_PREFIX = "user_embedding__"
ITEM_EMBEDDING_PREFIX = "item_embedding__"
ITEM_CONTENT_PREFIX = "item_content__"
ITEM_POPULARITY_VIEW = "item_popularity"

DEFAULT_SLOT = "ranking"


def dead_letter_topic(topic: str) -> str:
    return topic + DEAD_LETTER_SUFFIX


def user_history_view(rule_id: str) -> str:
    return USER_HISTORY_PREFIX + rule_id


def user_embedding_view(space_id: str) -> str:
    return USER_EMBEDDING_PREFIX + space_id


def item_embedding_view(space_id: str) -> str:
    return ITEM_EMBEDDING_PREFIX + space_id


def item_content_view(encoder_id: str) -> str:
    return ITEM_CONTENT_PREFIX + encoder_id


def ranker_version(kind: str, space_id: str | None) -> str:
    """Name of a ranker version, and of its FeatureService: `dot-product__s0123456789ab`."""
    return f"{kind}__{space_id}" if space_id else kind
