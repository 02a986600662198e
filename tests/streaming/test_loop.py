"""What the loop promises when stores fail, get lost, come back older, and when members come and go."""

import shutil

import pytest
from kafka.errors import UnsupportedCodecError

from learn_features.config import KafkaConfig
from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.contracts.deployment import SpaceState
from learn_features.errors import CheckpointError, ConfigError
from learn_features.features.offline_log import OfflineLog
from learn_features.services.redis import redis_server
from learn_features.streaming.client import admin, translated
from learn_features.streaming.consumer import run_user_updater
from learn_features.streaming.dead_letters import read_dead_letters
from learn_features.streaming.item_embedder import ItemEmbedder
from learn_features.streaming.partitions import Partitions
from learn_features.streaming.producers import Producer
from tests.oracle.history import expected
from tests.streaming.world import RULE, StreamWorld, interaction, running, wait_for

ITEMS = [f"i{number}" for number in range(20)]
TOPICS = (names.TOPIC_INTERACTIONS, names.TOPIC_USER_REFRESH)
HISTORY = names.user_history_view(RULE.id)


def send(world, count, users=9, start=0):
    with Producer(world.config) as producer:
        for number in range(start, start + count):
            user, item = f"u{number % users}", ITEMS[number % len(ITEMS)]
            producer.interaction(interaction(user, item, number))


def histories(world):
    with world.rows() as rows:
        keys = list(rows.scan_keys(online.entity_key_prefix(c.USER_ID)))
        found = rows.read_fields(keys, [HISTORY])
    return {
        online.entity_value(key): online.decode_history(online.decode_cell(raw).payload)
        for key, [raw] in zip(keys, found, strict=True)
        if raw is not None
    }


def caught_up(world):
    return lambda: world.caught_up(TOPICS)


def owned(world):
    """How many partitions each member of the group owns."""
    group = f"{world.config.kafka.group_prefix}-user-updater"
    with admin(world.config.kafka) as client:
        members = client.describe_groups([group])[group]["members"]
    assignments = [(member["member_assignment"] or {}).get("assigned_partitions", ()) for member in members]
    return [sum(len(topic["partitions"]) for topic in topics) for topics in assignments]


@pytest.fixture
def world(make_world, bundles):
    world = make_world("sqlite", partitions=4)
    world.fill_content(ITEMS)
    world.space = world.deploy(bundles[0])
    return world


def test_an_emptied_store_stops_the_consumer_before_histories_are_overwritten(world):
    send(world, 50)
    with running(run_user_updater, world.config) as consumer:
        wait_for(caught_up(world))
        with world.rows() as rows:
            for key in [online.CHECKPOINT_KEY, *rows.scan_keys(online.entity_key_prefix(c.USER_ID))]:
                for field in rows.read_rows([key])[0]:
                    rows.drop_field(key, field)
        send(world, 5, start=50)
        problem = consumer.problem()
    assert isinstance(problem, CheckpointError)
    assert "nothing filled yet or lost: `learn-features backfill`" in str(problem)
    assert histories(world) == {}


def test_a_store_restored_from_an_older_copy_is_read_up_to_date_again(make_world, bundles, tmp_path):
    with redis_server(tmp_path / "own-redis") as server:
        import redis

        world = StreamWorld.create(tmp_path / "w", make_world().config.kafka.bootstrap_servers, server.url)
        world.fill_content(ITEMS)
        world.deploy(bundles[0])
        client = redis.Redis.from_url(server.url)
        with running(run_user_updater, world.config):
            send(world, 40)
            wait_for(caught_up(world))
            copy = {key: client.hgetall(key) for key in client.scan_iter()}
            send(world, 60, start=40)
            wait_for(caught_up(world))
            with client.pipeline() as restore:  # atomically back to the older copy
                restore.flushdb()
                for key, fields in copy.items():
                    restore.hset(key, mapping=fields)
                restore.execute()
            send(world, 5, start=100)
            wait_for(lambda: histories(world) == expected(world.log(), RULE).histories)


def test_a_store_out_of_reach_is_waited_for(make_world, bundles, tmp_path):
    servers = make_world().config.kafka.bootstrap_servers
    with redis_server(tmp_path / "own-redis") as server:
        world = StreamWorld.create(tmp_path / "w", servers, server.url)
        world.fill_content(ITEMS)
        world.deploy(bundles[0])
        started = running(run_user_updater, world.config)
        started.__enter__()
        send(world, 30)
        wait_for(caught_up(world))
    try:
        send(world, 30, start=30)
        with redis_server(tmp_path / "own-redis") as again:
            assert again.url == server.url
            wait_for(lambda: world.caught_up(TOPICS) and len(histories(world)) == 9)
            state = expected(world.log(), RULE)
            assert histories(world) == state.histories
            started.__exit__(None, None, None)
            assert set(OfflineLog(world.config.offline).interactions()[c.EVENT_ID]) == state.event_ids
    except BaseException:
        started.__exit__(None, None, None)
        raise


def test_members_share_partitions_and_take_over(world):
    config = world.config
    with running(run_user_updater, config, "a"):
        send(world, 30, users=40)
        with running(run_user_updater, config, "b"):
            wait_for(lambda: sorted(owned(world)) == [4, 4])
            for round_ in range(1, 6):
                send(world, 40, users=40, start=30 * round_)
            wait_for(caught_up(world))
        send(world, 30, users=40, start=300)  # b is gone; a gets its partitions after the session's end
        wait_for(caught_up(world), seconds=60)
        assert owned(world) == [8]
    state = expected(world.log(), RULE)
    assert histories(world) == state.histories
    assert set(OfflineLog(config.offline).interactions()[c.EVENT_ID]) == state.event_ids


def test_two_members_of_one_name_are_told_apart(world):
    with running(run_user_updater, world.config, "same") as first:
        send(world, 5)
        wait_for(caught_up(world))
        with running(run_user_updater, world.config, "same"):
            problem = first.problem()
    assert isinstance(problem, ConfigError)
    assert "--instance" in str(problem)


def test_a_broken_filling_space_is_left_out_and_live_ones_go_on(world, bundles, tmp_path):
    broken = tmp_path / "broken" / bundles[1].rsplit("/", 1)[1]
    shutil.copytree(bundles[1], broken)
    with running(run_user_updater, world.config):
        send(world, 10)
        wait_for(caught_up(world))
        filling = world.deploy(str(broken), SpaceState.FILLING, slot=False)
        (broken / "user_tower.onnx").write_bytes(b"no longer a tower")
        wait_for(lambda: all(checkpoint.document_version == 2 for checkpoint in world.checkpoints()))
        send(world, 10, start=10)
        wait_for(caught_up(world))
    with world.rows() as rows:
        row = rows.read_rows([online.entity_key(c.USER_ID, "u0")])[0]
    cells = {name: online.decode_cell(raw) for name, raw in row.items() if "__" in name}
    assert cells[names.user_embedding_view(world.space)].as_of_us == cells[HISTORY].as_of_us
    assert len(world.checkpoints()) == 8  # idle partitions name the document, too
    if names.user_embedding_view(filling) in cells:  # opened before it broke
        assert cells[names.user_embedding_view(filling)].payload


def test_bad_records_go_to_the_dead_letters_with_reason_and_origin(world):
    topic = world.config.kafka.topic(names.TOPIC_INTERACTIONS)
    with running(run_user_updater, world.config), Producer(world.config) as producer:
        producer.raw(topic, b"u1", b"not json")
        producer.interaction(interaction("u1", "i1"))
        producer.flush()
        wait_for(lambda: "u1" in histories(world))
    [letter] = read_dead_letters(world.config, names.TOPIC_INTERACTIONS)
    assert (letter.key, letter.value, letter.topic) == (b"u1", b"not json", "interactions")
    assert "not JSON" in letter.reason
    assert (letter.partition, letter.offset) in {(r.partition, r.offset) for r in world.log()}


def test_forgetting_empties_the_row_and_no_replay_brings_it_back(world):
    vector = names.user_embedding_view(world.space)
    with running(run_user_updater, world.config), Producer(world.config) as producer:
        producer.interaction(interaction("ann", "i1"))
        producer.flush()
        wait_for(lambda: "ann" in histories(world))
        producer.forget("ann")
        producer.flush()
        wait_for(lambda: not histories(world)["ann"])
    with world.rows() as rows:
        row = rows.read_rows([online.entity_key(c.USER_ID, "ann")])[0]
        assert online.decode_cell(row[vector]).payload == online.TOMBSTONE
        for checkpoint in world.checkpoints():  # replay from the start
            rows.drop_field(online.CHECKPOINT_KEY, checkpoint.field)
    with running(run_user_updater, world.config):
        wait_for(caught_up(world))
        send(world, 9)
        wait_for(lambda: len(histories(world)) == 10)
    assert histories(world)["ann"] == []
    assert "ann" not in set(OfflineLog(world.config.offline).interactions()[c.USER_ID])


def test_unknown_topics_are_named(world):
    kafka = world.config.kafka.model_copy(update={"topics": {"interactions": "nobody-has-made-it"}})
    with running(run_user_updater, world.config.model_copy(update={"kafka": kafka})) as consumer:
        problem = consumer.problem()
    assert isinstance(problem, ConfigError)
    assert "nobody-has-made-it" in str(problem)


def test_a_topic_without_dead_letters_is_named(world):
    ours = world.config.kafka.dead_letter_topic(names.TOPIC_INTERACTIONS)  # exists, and has none itself
    topics = {**world.config.kafka.topics, names.TOPIC_INTERACTIONS: ours}
    kafka = world.config.kafka.model_copy(update={"topics": topics})
    with running(run_user_updater, world.config.model_copy(update={"kafka": kafka})) as consumer:
        problem = consumer.problem()
    assert isinstance(problem, ConfigError)
    assert kafka.dead_letter_topic(names.TOPIC_INTERACTIONS) in str(problem)


def test_records_nobody_can_read_name_the_missing_packages():
    with (
        pytest.raises(ConfigError, match="lz4, python-snappy, zstandard"),
        translated(KafkaConfig()),
    ):
        raise UnsupportedCodecError("Libraries for zstd compression codec not found")


def test_a_poll_gives_a_batch_that_can_be_handled_in_time(world):
    kafka = world.config.kafka
    sizes = []
    for most in (7, None, 10**6):
        member = Partitions(kafka, "sizes", (names.TOPIC_ITEMS,), "0", most)
        options = member._client.config
        assert options["isolation_level"] == "read_committed"
        sizes.append(options["max_poll_records"])
        member.close()
    assert sizes == [7, kafka.max_batch, kafka.max_batch]
    assert ItemEmbedder.max_batch <= 256
