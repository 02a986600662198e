"""The user updater on a real broker and real stores."""

import time

import numpy as np
import pytest

from learn_features.config import EncoderConfig
from learn_features.content.spec import encoder_spec
from learn_features.content.store import ContentStore, content_hash
from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.features.offline_log import OfflineLog
from learn_features.features.row_store import CellPut
from learn_features.release.bundle import open_bundle
from learn_features.release.runtime import OnnxTowers
from learn_features.streaming.consumer import run_user_updater
from learn_features.streaming.producers import Producer
from tests.streaming.world import RULE, interaction, running, wait_for

ITEMS = [f"i{number}" for number in range(30)]


def stored(world, user):
    with world.rows() as rows:
        row = rows.read_rows([online.entity_key(c.USER_ID, user)])[0]
    return {name: online.decode_cell(raw) for name, raw in row.items() if "__" in name}


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_click_becomes_history_and_vector(make_world, bundles, kind):
    world = make_world(kind)
    contents = world.fill_content(ITEMS)
    space = world.deploy(bundles[0])
    history, vector = names.user_history_view(RULE.id), names.user_embedding_view(space)
    with running(run_user_updater, world.config), Producer(world.config) as producer:
        producer.interaction(interaction("ann", "i1", 5))
        producer.flush()
        wait_for(lambda: vector in stored(world, "ann"))
        for number, item in [(1, "i2"), (9, "nobody knows it"), (7, "i3"), (7, "i3")]:
            producer.interaction(interaction("ann", item, number))
        producer.flush()
        wait_for(lambda: len(online.decode_history(stored(world, "ann")[history].payload)) == 4)
        cells = stored(world, "ann")
    entries = online.decode_history(cells[history].payload)
    assert [entry.item_id for entry in entries] == ["i2", "i1", "i3", "nobody knows it"]
    known = np.stack([contents[item] for item in ("i2", "i1", "i3")])[None].astype(np.float32)
    towers = OnnxTowers(open_bundle(bundles[0]))
    residuals = towers.residuals(["i2", "i1", "i3"])[None]
    assert residuals.any(axis=-1).tolist() == [[True, False, False]], "one that training has seen, two new"
    expected = towers.embed_users(known, np.array([3]), residuals, np.float32([[-1, 4, 2]]))[0]
    np.testing.assert_allclose(online.decode_vector(cells[vector].payload), expected, atol=1e-5)
    assert cells[vector].sequence == 3
    log = OfflineLog(world.config.offline)
    assert log.interactions().height == 4
    rows = log.embeddings(vector).sort(c.AS_OF)
    np.testing.assert_array_equal(
        rows[names.USER_VECTOR][-1].to_numpy(), online.decode_vector(cells[vector].payload)
    )
    assert rows[c.AS_OF].to_physical()[-1] == cells[vector].as_of_us


def test_a_refresh_uses_the_content_that_is_there_now(make_world, bundles):
    world = make_world()
    world.fill_content(ITEMS)
    space = world.deploy(bundles[0])
    vector = names.user_embedding_view(space)
    towers, encoder = OnnxTowers(open_bundle(bundles[0])), encoder_spec(EncoderConfig())
    chance = np.random.default_rng(7)
    changes = [chance.normal(size=encoder.dimension).astype(np.float16) for _ in range(2)]

    def streamed(content):
        payload = online.encode_vector(content.astype(np.float32))
        cell = online.encode_cell(time.time_ns() // 1000, payload)
        with world.rows() as rows:
            field = names.item_content_view(encoder.id)
            rows.put_newer([CellPut(online.entity_key(c.ITEM_ID, "i1"), {field: cell})])

    def imported(content):
        store = ContentStore(world.config.content, encoder.id, encoder.dimension)
        store.put(["i2"], [content_hash("another text")], content[None])

    with running(run_user_updater, world.config), Producer(world.config) as producer:
        for item, change, content in (("i1", streamed, changes[0]), ("i2", imported, changes[1])):
            producer.interaction(interaction(item, item))  # a user of its own, called like the item
            producer.flush()
            wait_for(lambda user=item: vector in stored(world, user))
            before = stored(world, item)[vector]
            change(content)
            producer.refresh(item)
            producer.flush()
            wait_for(lambda user=item, was=before: stored(world, user)[vector].as_of_us > was.as_of_us)
            beside = towers.residuals([item])[None], np.float32([[-1]])
            expected = towers.embed_users(content[None, None].astype(np.float32), np.array([1]), *beside)[0]
            found = online.decode_vector(stored(world, item)[vector].payload)
            np.testing.assert_allclose(found, expected, atol=1e-5)
