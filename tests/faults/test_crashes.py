"""SIGKILL at random moments loses nothing: whatever is in the topics ends up in rows and log."""

import random

import pytest

from learn_features.contracts import names
from learn_features.streaming.producers import Producer
from tests.faults.crashes import Consumer, ItemTraffic, Traffic, check_items, check_users
from tests.streaming.world import StreamWorld, interaction

USER_TOPICS = (names.TOPIC_INTERACTIONS, names.TOPIC_USER_REFRESH)
ITEMS = [f"i{number}" for number in range(80)]
KNOWN = ITEMS[:70]


def user_crashes(world: StreamWorld, bundle: str, kills: int, seed: int) -> None:
    contents, space = world.fill_content(KNOWN), world.deploy(bundle)
    traffic = Traffic(world, ITEMS, random.Random(seed), rate=20)
    with Producer(world.config) as producer:
        producer.interaction(interaction("forgotten", "i1"))
        producer.interaction(interaction("only unknown", "i79"))
        producer.flush()
        producer.forget("forgotten")
    traffic.start()
    with Consumer(world, "interactions", USER_TOPICS) as consumer:
        try:
            consumer.crash_again_and_again(kills, random.Random(seed))
        finally:
            traffic.end()
        consumer.finish()
        with Producer(world.config) as producer:
            producer.interaction(interaction("forgotten", "i2", 1))
        consumer.finish()
    state = check_users(world, space, contents, bundle)
    assert consumer.kills == kills
    assert [entry.item_id for entry in state.histories["forgotten"]] == ["i2"]
    assert len(state.histories) > 50
    assert len(state.dead) > 5
    assert traffic.sent > 500


def item_crashes(world: StreamWorld, bundle: str, kills: int, seed: int) -> None:
    space = world.deploy(bundle)
    traffic = ItemTraffic(world, ITEMS, random.Random(seed), rate=15)
    traffic.start()
    with Consumer(world, "items", (names.TOPIC_ITEMS,)) as consumer:
        try:
            consumer.crash_again_and_again(kills, random.Random(seed))
        finally:
            traffic.end()
        consumer.finish()
    state = check_items(world, space, bundle)
    assert len(state.items) > 50
    assert state.dead


@pytest.fixture
def make_world(tmp_path, broker, redis):
    def make(kind: str) -> StreamWorld:
        url = redis.url if kind == "redis" else None
        return StreamWorld.create(tmp_path / "world", broker.bootstrap_servers, url, partitions=3)

    return make


@pytest.mark.parametrize(("kind", "seed"), [("sqlite", 11), ("redis", 12)])
def test_user_updater_loses_nothing(make_world, bundle, kind, seed):
    user_crashes(make_world(kind), bundle, kills=5, seed=seed)


def test_item_embedder_loses_nothing(make_world, bundle):
    item_crashes(make_world("sqlite"), bundle, kills=2, seed=13)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_user_updater_loses_nothing_over_many_crashes(make_world, bundle, kind):
    user_crashes(make_world(kind), bundle, kills=25, seed=21)


@pytest.mark.long
def test_item_embedder_loses_nothing_over_many_crashes(make_world, bundle):
    item_crashes(make_world("redis"), bundle, kills=8, seed=22)
