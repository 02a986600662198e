"""One log, once as a table and once as a stream: the same item and user vectors, and those of torch.

The space has residuals of some items and reads time gaps, so that a side which forgets either differs.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from learn_features.config import Config
from learn_features.content import templates, tokens
from learn_features.content.sources import locate
from learn_features.content.spec import encoder_spec
from learn_features.content.store import ContentStore, content_hash
from learn_features.contracts import columns as c
from learn_features.contracts import names, online
from learn_features.contracts.events import InteractionRecord, ItemRecord
from learn_features.data.tables import Dataset
from learn_features.features.dataset_import import import_dataset
from learn_features.features.history_states import states_at
from learn_features.features.offline_log import OfflineLog
from learn_features.features.space_embedding import SpaceEmbedding
from learn_features.features.store_file import SQLITE_STORE
from learn_features.release.deployment import DeploymentStore
from learn_features.streaming.contents import ItemContents
from learn_features.streaming.item_embedder import ItemEmbedder
from learn_features.streaming.metrics import StreamMetrics
from learn_features.streaming.records import InteractionEvent, ItemEvent
from learn_features.streaming.spaces import Spaces
from learn_features.streaming.user_updater import UserUpdater
from learn_features.streaming.user_vectors import UserVectors
from learn_features.towers.weights import load_residuals, load_towers
from tests.streaming.world import NOW_US, RULE, SEEN, StreamWorld, build_bundle

ITEMS = [f"i{number}" for number in range(12)]
"""Half of them are in SEEN, the others are new."""
USERS = 25


@dataclass(frozen=True)
class Case:
    """A log without a broker: items with content vectors, events, a space in force."""

    world: StreamWorld
    space_id: str
    bundle: str
    items: pl.DataFrame
    content: dict[str, np.ndarray]
    events: list[tuple[str, str, int]]
    """User, item, time in µs; in order of time."""

    def history(self, user: str) -> list[tuple[str, int]]:
        """Known items of the user's newest entries, and when."""
        mine = sorted((when, item) for who, item, when in self.events if who == user)[-RULE.max_length :]
        return [(item, when) for when, item in mine if item in self.content]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("case")
    settings = {"project": "case", "online_store": {"type": SQLITE_STORE, "path": str(folder / "rows.db")}}
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(settings))
    config = Config(state=str(folder / "state"), feature_store=folder / "feature_store.yaml", history=RULE)
    random = np.random.default_rng(5)
    items = pl.DataFrame(
        [dict.fromkeys(c.ITEM_TEXT_COLUMNS) | {c.ITEM_ID: i, c.TITLE: f"title {i}"} for i in ITEMS],
        schema_overrides={c.PRICE: pl.Float64, c.DESCRIPTION: pl.String},
    ).with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias(c.UPDATED_AT))
    spec = encoder_spec(config.encoder)
    texts = templates.item_texts(items, spec, tokens.cutter_in(locate(config.encoder).folder))
    vectors = random.normal(size=(len(ITEMS), spec.dimension)).astype(np.float16)
    ContentStore(config.content, spec.id, spec.dimension).put(
        ITEMS, [content_hash(t) for t in texts], vectors
    )

    events = []
    for user in range(USERS):
        # from a user with one event to some with more than the rule keeps; gaps of seconds to months
        gaps = np.exp(random.uniform(0, 16, size=1 + user % (RULE.max_length + 4)))
        times = NOW_US - 300_000_000_000_000 + np.cumsum(gaps * 1e6).astype(np.int64)
        chosen = random.choice([*ITEMS, "unknown"], size=len(times))
        events += [(f"u{user}", str(item), int(when)) for item, when in zip(chosen, times, strict=True)]
    world = StreamWorld(folder, config, folder / "learn.yaml")
    bundle = build_bundle(folder, seed=4)
    return Case(
        world, world.deploy(bundle), bundle, items, dict(zip(ITEMS, vectors, strict=True)),
        sorted(events, key=lambda event: event[2]),
    )  # fmt: skip


@pytest.fixture(scope="module")
def batch(case: Case) -> dict[str, np.ndarray]:
    """Vectors by id, items and users, as a backfill embeds them."""
    config = case.world.config
    table = pl.DataFrame(
        {
            c.USER_ID: [user for user, _, _ in case.events],
            c.ITEM_ID: [item for _, item, _ in case.events],
            c.EVENT_TIMESTAMP: pl.Series([t for *_, t in case.events], dtype=pl.Datetime("us", "UTC")),
            c.EVENT_ID: [f"e{number}" for number in range(len(case.events))],
            c.EVENT_TYPE: [c.DEFAULT_EVENT_TYPE] * len(case.events),
            c.VALUE: pl.Series([None] * len(case.events), dtype=pl.Float64),
        }
    )
    import_dataset(config, Dataset(case.items, table, has_times=True))
    log = OfflineLog(config.offline)
    space = DeploymentStore(config.deployment).read().spaces[case.space_id]
    embedding = SpaceEmbedding(config, space, log.items(deleted=True))
    found = embedding.item_rows()
    vectors = dict(zip(found[c.ITEM_ID].to_pylist(), found[names.ITEM_VECTOR].to_pylist(), strict=True))
    for rows in embedding.user_rows(states_at(log.interactions(), RULE, NOW_US, None)):
        vectors |= zip(rows[c.USER_ID].to_pylist(), rows[names.USER_VECTOR].to_pylist(), strict=True)
    return {key: np.float32(vector) for key, vector in vectors.items()}


class _Rows:
    """`GuardedRows` without a checkpoint."""

    def __init__(self, store) -> None:
        self.read = store.read_rows


class _Encoder:
    """Gives each item's stored content vector for its title."""

    def __init__(self, content: dict[str, np.ndarray]) -> None:
        self._content = content

    def item_texts(self, items: pl.DataFrame) -> list[str]:
        return items[c.TITLE].to_list()

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.stack([self._content[text.removeprefix("title ")] for text in texts])


@pytest.fixture(scope="module")
def stream(case: Case) -> dict[str, np.ndarray]:
    """Vectors by id as the consumers leave them, users in batches of seven events."""
    metrics = StreamMetrics()
    spaces = Spaces(case.world.config, metrics)
    spaces.refresh()
    with case.world.rows() as store:
        embedder = ItemEmbedder(store, spaces, lambda spec: _Encoder(case.content))
        items = [
            ItemEvent(item, ItemRecord(item_id=item, title=f"title {item}"), NOW_US, offset)
            for offset, item in enumerate(reversed(ITEMS))
        ]
        embedder.handle(items, _Rows(store))
        vectors = UserVectors(spaces, ItemContents(case.world.config, store))
        updater = UserUpdater(store, spaces, vectors, metrics)
        events = [
            InteractionEvent(InteractionRecord(user_id=u, item_id=i, event_timestamp=t, event_id=f"e{n}"), t)
            for n, (u, i, t) in enumerate(case.events)
        ]
        for first in range(0, len(events), 7):
            updater.handle(events[first : first + 7], _Rows(store))
        found = {}
        for key, ids, view in (
            (c.ITEM_ID, ITEMS, names.item_embedding_view(case.space_id)),
            (c.USER_ID, [f"u{n}" for n in range(USERS)], names.user_embedding_view(case.space_id)),
        ):
            for one, [raw] in zip(
                ids, store.read_fields([online.entity_key(key, i) for i in ids], [view]), strict=True
            ):
                payload = online.decode_cell(raw).payload
                if payload != online.TOMBSTONE:
                    found[one] = online.decode_vector(payload)
        return found


def test_items_with_and_without_residual_are_the_same(case: Case, batch: dict, stream: dict) -> None:
    towers, residuals = load_towers(case.bundle), load_residuals(case.bundle)
    for item in ITEMS:
        residual = torch.from_numpy(residuals.lookup([item]))
        assert residual.any() == (item in SEEN)
        content = torch.from_numpy(case.content[item]).float()[None]
        with torch.inference_mode():
            expected = towers.item(content, residual)[0].numpy()
            alone = towers.item(content)[0].numpy()
        assert (np.abs(expected - alone).max() > 1e-2) == (item in SEEN), "a residual has to show"
        np.testing.assert_allclose(batch[item], expected, atol=1e-5, err_msg=item)
        np.testing.assert_allclose(stream[item], expected, atol=1e-5, err_msg=item)


def test_users_of_mixed_histories_are_the_same(case: Case, batch: dict, stream: dict) -> None:
    towers, residuals = load_towers(case.bundle), load_residuals(case.bundle)
    mixed = with_unknown = 0
    for user in [f"u{number}" for number in range(USERS)]:
        history = case.history(user)
        if not history:
            assert user not in batch
            assert user not in stream
            continue
        ids = [item for item, _ in history]
        times = [when for _, when in history]
        content = torch.from_numpy(np.stack([case.content[item] for item in ids])).float()[None]
        lengths = torch.tensor([len(ids)])
        known = torch.from_numpy(residuals.lookup(ids))[None]
        gaps = torch.tensor([[-1.0, *((b - a) / 1_000_000 for a, b in pairwise(times))]])
        with torch.inference_mode():
            expected = towers.user(content, lengths, known, gaps)[0].numpy()
            without = [
                towers.user(content, lengths, None, gaps)[0].numpy(),
                towers.user(content, lengths, known, torch.full_like(gaps, 60))[0].numpy(),
            ]
        assert np.abs(expected - without[0]).max() > 1e-3 or not known.any(), "residuals have to show"
        assert np.abs(expected - without[1]).max() > 1e-3, "time gaps have to show"
        np.testing.assert_allclose(batch[user], expected, atol=1e-5, err_msg=user)
        np.testing.assert_allclose(stream[user], expected, atol=1e-5, err_msg=user)
        mixed += bool(known.any(-1).any() and not known.any(-1).all())
        with_unknown += any(who == user and item == "unknown" for who, item, _ in case.events)
    assert mixed > 10
    assert with_unknown > 5
