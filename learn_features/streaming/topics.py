"""Create the topics, and see that those people bring are fit for use."""

from typing import Any

from learn_features.config import Config, KafkaConfig
from learn_features.contracts import names
from learn_features.errors import ConfigError
from learn_features.streaming.client import admin

TOPICS = (names.TOPIC_ITEMS, names.TOPIC_INTERACTIONS, names.TOPIC_USER_REFRESH, names.TOPIC_EXPOSURES)
_TIMESTAMPS = "message.timestamp.type"
_APPEND_TIME = {_TIMESTAMPS: "LogAppendTime"}


def create_topics(config: Config, partitions: int = 4, replication: int = -1) -> list[str]:
    """Create what is missing of the topics and their dead-letter topics; names of those created.

    All have broker append time; `items` is compacted. `replication` -1: the cluster's default.
    `interactions` and `user_refresh` get the same number of partitions.
    """
    wanted: dict[str, dict[str, Any]] = {}
    for topic in TOPICS:
        settings = dict(_APPEND_TIME)
        if topic == names.TOPIC_ITEMS:
            settings["cleanup.policy"] = "compact"
        wanted[config.kafka.topic(topic)] = {"num_partitions": partitions, "configs": settings}
        wanted[config.kafka.dead_letter_topic(topic)] = {"num_partitions": 1, "configs": dict(_APPEND_TIME)}
    with admin(config.kafka) as client:
        present = set(client.list_topics())
        missing = {name: spec for name, spec in wanted.items() if name not in present}
        for spec in missing.values():
            spec["replication_factor"] = replication
        if missing:
            client.create_topics(missing, wait_for_metadata=True)
    return list(missing)


def topic_ids(config: KafkaConfig, topics: tuple[str, ...]) -> dict[str, str]:
    """Contract topic → the cluster's id of it.

    Raises `ConfigError` for a topic that does not exist or has no dead-letter topic, or whose records do
    not carry broker append time: `as_of` stands on it.
    """
    from kafka.admin import ConfigResource

    ours = {config.topic(topic): topic for topic in topics}
    with admin(config) as client:
        wanted = set(ours) | {config.dead_letter_topic(topic) for topic in topics}
        missing = sorted(wanted - set(client.list_topics()))
        if missing:
            raise ConfigError(
                f"Kafka at {config.bootstrap_servers} has no topic {', '.join(missing)}; "
                "`learn-features topics create`, or name yours in kafka.topics"
            )
        found = {ours[topic["name"]]: str(topic["topic_id"]) for topic in client.describe_topics(list(ours))}
        resources = [ConfigResource("TOPIC", name, configs={_TIMESTAMPS: None}) for name in ours]
        settings = client.describe_configs(resources, config_filter="all")
    for name, values in next(iter(settings.values())).items():
        kind = values.get(_TIMESTAMPS, {}).get("value")
        if kind != _APPEND_TIME[_TIMESTAMPS]:
            raise ConfigError(
                f"topic {name} has {_TIMESTAMPS}={kind}; set it to LogAppendTime: "
                "when the system could first have known a record is read from it"
            )
    return found
