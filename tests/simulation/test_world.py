"""The simulated world: the same by seed, natural, and with truth that its clicks follow."""

import hashlib
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from learn_features.contracts.events import InteractionRecord
from learn_features.data.tables import read_dataset
from learn_features.errors import ConfigError
from learn_features.simulation.subcategories import CATEGORIES, SUBCATEGORIES, TASTES
from learn_features.simulation.world import END, Simulation, simulate, subcategories_of


@pytest.fixture(scope="module")
def small() -> Simulation:
    return simulate(seed=3, items=400, users=300, days=30)


def _digests(folder: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())]


def test_same_seed_same_bytes(small: Simulation, tmp_path: Path) -> None:
    small.write(tmp_path / "a")
    simulate(seed=3, items=400, users=300, days=30).write(tmp_path / "b")
    simulate(seed=4, items=400, users=300, days=30).write(tmp_path / "c")
    assert _digests(tmp_path / "a") == _digests(tmp_path / "b")
    assert not set(_digests(tmp_path / "a")) & set(_digests(tmp_path / "c"))


def test_the_written_world_reads_without_a_warning(small: Simulation, tmp_path: Path) -> None:
    small.write(tmp_path)
    dataset = read_dataset(tmp_path)
    assert dataset.warnings == []
    assert dataset.has_times
    assert dataset.items.equals(small.items)
    assert dataset.interactions.height == small.interactions.height


def test_vocabulary_is_wide_and_tastes_cross_categories() -> None:
    assert len(CATEGORIES) >= 8
    assert len({s.name for s in SUBCATEGORIES}) == len(SUBCATEGORIES) >= 60
    for taste in TASTES:
        assert len({s.category for s in SUBCATEGORIES if s.taste == taste}) >= 3


def test_catalogue_looks_natural(small: Simulation) -> None:
    items = small.items
    assert items["title"].n_unique() > 0.9 * items.height
    assert items["description"].n_unique() > 0.97 * items.height
    for column in ("title", "category", "brand", "keywords", "attributes", "description"):
        assert items[column].null_count() == 0
        assert not items[column].str.contains(r"[{}]|\bNone\b|  ").any(), column
    assert items["price"].min() > 1  # type: ignore[operator]
    assert items["category"].n_unique() == len(SUBCATEGORIES)


def test_events_are_the_contracts_and_within_the_days(small: Simulation) -> None:
    log = small.interactions
    for row in log.sample(50, seed=0).iter_rows(named=True):
        fields = {key: value for key, value in row.items() if key != "event_id"}
        assert row["event_id"] == InteractionRecord(**fields).identified
    moments = log["event_timestamp"]
    assert moments.is_sorted()
    assert END - timedelta(days=30) <= moments.min() <= moments.max() < END  # type: ignore[operator]


def test_nobody_clicks_before_an_item_or_a_user_is_there(small: Simulation) -> None:
    clicks = small.interactions.join(small.items.select("item_id", "updated_at"), on="item_id")
    assert (clicks["event_timestamp"] >= clicks["updated_at"]).all()
    late = small.items["updated_at"] > END - timedelta(days=30)
    assert 0.1 < late.mean() < 0.4  # type: ignore[operator]
    newest = small.items.filter(late)["item_id"]
    assert small.interactions["item_id"].is_in(newest.implode()).any()


def test_popularity_is_skewed_but_not_everything(small: Simulation) -> None:
    counts = np.sort(small.interactions["item_id"].value_counts()["count"].to_numpy())[::-1]
    tenth = counts[: len(counts) // 10].sum() / counts.sum()
    assert 0.2 < tenth < 0.65


def test_sessions_are_of_one_taste(small: Simulation) -> None:
    taste = [small.world.taste_of(item) for item in small.interactions["item_id"]]
    log = (
        small.interactions.with_columns(pl.Series("taste", taste))
        .with_columns(
            (pl.col("event_timestamp").diff().over("user_id") > pl.duration(minutes=20)).alias("new"),
            pl.col("taste").shift().over("user_id").alias("before"),
        )
        .filter(pl.col("before").is_not_null())
    )
    same = log.group_by("new").agg((pl.col("taste") == pl.col("before")).mean())
    share = dict(same.iter_rows())
    assert share[False] > 0.5 > 2 / len(TASTES)
    assert share[False] > share[True] > 2 / len(TASTES)


def test_clicks_follow_true_affinity(small: Simulation) -> None:
    """What a user clicked is, by the truth at that time, liked more than what others clicked."""
    rng = np.random.default_rng(0)
    ids = small.items["item_id"].to_list()
    wins = []
    for row in small.interactions.sample(300, seed=1).iter_rows(named=True):
        other = ids[rng.integers(len(ids))]
        clicked, random = small.affinity(row["user_id"], [row["item_id"], other], row["event_timestamp"])
        wins.append(clicked > random)
    assert stats.binomtest(sum(wins), len(wins), 0.5).pvalue < 1e-9


def test_tastes_drift(small: Simulation) -> None:
    world, users = small.world, small.world.people.user_ids[:100]
    start, end = END - timedelta(days=29), END
    first = [next(iter(world.interests(user, start))) for user in users]
    last = [next(iter(world.interests(user, end))) for user in users]
    changed = sum(before != after for before, after in zip(first, last, strict=True))
    assert 10 < changed < 70
    ids = small.items["item_id"].to_list()
    assert not np.array_equal(small.affinity(users[0], ids, start), small.affinity(users[0], ids, end))


def test_text_does_not_tell_everything_but_behaviour_agrees_with_taste(small: Simulation) -> None:
    catalogue = small.world.catalogue
    similarity = catalogue.vectors @ catalogue.vectors.T
    same_taste = catalogue.taste[:, None] == catalogue.taste
    same_subcategory = catalogue.subcategory[:, None] == catalogue.subcategory
    across = same_taste & ~same_subcategory
    assert similarity[across].mean() > similarity[~same_taste].mean() + 0.3
    twins = (
        same_subcategory
        & (catalogue.style[:, None] == catalogue.style)
        & ~np.eye(len(similarity), dtype=bool)
    )
    assert 0.6 < similarity[twins].mean() < 0.99


def test_new_items(small: Simulation) -> None:
    world = small.world
    item = world.new_item("Tents", seed=1)
    assert item == world.new_item("Tents", seed=1)
    assert item.item_id != world.new_item("Tents", seed=2).item_id
    assert item.item_id not in small.items["item_id"].to_list()
    assert item.category == "Outdoor & Camping > Tents"
    assert item.title
    assert item.price
    styled = world.new_item("Tents", style="premium")
    assert styled.description
    assert set(world.subcategories) == {s.name for s in SUBCATEGORIES}


def test_items_and_subcategories_of_a_taste(small: Simulation) -> None:
    items = small.world.items_of("wild camping")
    assert items
    assert {small.world.taste_of(item) for item in items} == {"wild camping"}
    assert subcategories_of("wild camping") == ["Tents", "Headlamps", "Enamel Mugs", "Base Layers"]


def test_wrong_names_and_sizes_are_said(small: Simulation) -> None:
    with pytest.raises(ConfigError, match="no taste called 'wild'"):
        small.world.items_of("wild")
    with pytest.raises(ConfigError, match="no sub-category called 'Boats'"):
        small.world.new_item("Boats")
    with pytest.raises(ConfigError, match="no user called 'nobody'"):
        small.affinity("nobody", ["item-000000"], END)
    with pytest.raises(ConfigError, match=r"no items \['x'\]"):
        small.affinity("user-000000", ["x"], END)
    with pytest.raises(ConfigError, match="items is 5"):
        simulate(items=5)
