"""A space filled from the log, against vectors worked out by hand."""

from collections.abc import Callable
from datetime import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import names, online, times
from learn_features.errors import DeploymentError, SpaceMismatch
from learn_features.features import roll_out
from learn_features.features.backfill import backfill, is_filled
from learn_features.features.feast_store import open_feature_store
from learn_features.features.offline_log import OfflineLog
from learn_features.features.row_store import RowWrite
from learn_features.features.rows import open_row_store

DAY = 86_400_000_000


def at(day: int, second: int = 0) -> datetime:
    return times.from_us(
        times.to_us(datetime.fromisoformat(f"2024-03-{day:02d}T12:00:00Z")) + second * 1_000_000
    )


EVENTS = [
    ("ada", "a", at(1)),
    ("ada", "b", at(2)),
    ("ada", "c", at(2, 1)),
    ("ada", "d", at(3)),
    ("bob", "b", at(2)),
    ("cleo", "unknown", at(2)),
]


def test_online_and_offline_rows_are_those_of_the_towers(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    towers = make_towers()
    content = fill_log(["a", "b", "c", "d"], EVENTS, {"b": at(2, 30)}).content
    space = roll_out.begin(config, towers.uri)
    assert space == towers.space_id
    report = backfill(config, space)
    assert (report.items, report.users, report.histories) == (4, 2, 3)

    store = open_feature_store(config)
    view = names.user_embedding_view(space)
    online_rows = store.get_online_features(
        [f"{view}:{names.USER_VECTOR}"], [{c.USER_ID: u} for u in ("ada", "bob", "cleo")]
    ).to_dict()[names.USER_VECTOR]
    # the newest three of ada's four
    np.testing.assert_allclose(online_rows[0], towers.user([content[i] for i in "bcd"]), atol=1e-5)
    np.testing.assert_allclose(online_rows[1], towers.item(content["b"]), atol=1e-5)
    assert online_rows[2] is None, "a user whose only item is unknown has no vector"

    log = OfflineLog(config.offline)
    as_of = dict(log.embeddings(view).select(c.USER_ID, c.AS_OF).iter_rows())
    assert as_of == {"ada": at(3), "bob": at(2, 30)}, "bob's item became known after his event"
    item_rows = {row[c.ITEM_ID]: row for row in log.embeddings(names.item_embedding_view(space)).to_dicts()}
    for item_id in "abcd":
        np.testing.assert_allclose(
            item_rows[item_id][names.ITEM_VECTOR], towers.item(content[item_id]), atol=1e-5
        )
    assert item_rows["b"][c.AS_OF] == at(2, 30)
    assert item_rows["a"][c.AS_OF] == times.BASE_DATE


def test_histories_popularity_and_the_mark_are_online(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    towers = make_towers()
    fill_log(["a", "b", "c", "d"], EVENTS)
    space = roll_out.begin(config, towers.uri)
    rows = open_row_store(config)
    assert not is_filled(rows)
    backfill(config, space)
    assert is_filled(rows)
    store = open_feature_store(config)
    rule = store.get_feature_view(names.item_embedding_view(space))
    assert rule.tags["space_id"] == space
    [history_view] = [v.name for v in store.list_feature_views() if v.name.startswith("user_history__")]
    history = store.get_online_features(
        [f"{history_view}:{names.HISTORY_ITEM_IDS}", f"{history_view}:{names.HISTORY_TIMESTAMPS}"],
        [{c.USER_ID: "ada"}, {c.USER_ID: "cleo"}],
    ).to_dict()
    assert history[names.HISTORY_ITEM_IDS] == [["b", "c", "d"], ["unknown"]]
    assert history[names.HISTORY_TIMESTAMPS][0] == [times.to_us(when) for when in (at(2), at(2, 1), at(3))]
    popular = store.get_online_features(
        [f"{names.ITEM_POPULARITY_VIEW}:{names.POPULARITY}"], [{c.ITEM_ID: i} for i in ("a", "b", "new")]
    ).to_dict()
    assert popular[names.POPULARITY] == [1, 2, None]


def test_a_window_of_days_gives_each_days_vector_as_it_was(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    towers = make_towers()
    content = fill_log(["a", "b", "c", "d"], EVENTS).content
    space = roll_out.begin(config, towers.uri)
    report = backfill(config, space, window_days=3)
    assert report.users == 4, "ada on three days, bob on one: days without events give no rows"
    store = open_feature_store(config)
    asked = pd.DataFrame(
        {
            c.USER_ID: ["ada"] * 5,
            "event_timestamp": [at(1, -1), at(1), at(2, 0), at(2, 1), at(9)],
        }
    )
    view = names.user_embedding_view(space)
    got = store.get_historical_features(asked, features=[f"{view}:{names.USER_VECTOR}"]).to_df()
    vectors = got.sort_values("event_timestamp")[names.USER_VECTOR].tolist()
    assert vectors[0] is None, "nothing was known before the first event"
    np.testing.assert_allclose(vectors[1], towers.user([content["a"]]), atol=1e-5)
    np.testing.assert_allclose(vectors[2], vectors[1], err_msg="that day's vector stands for its last event")
    np.testing.assert_allclose(vectors[3], towers.user([content[i] for i in "abc"]), atol=1e-5)
    np.testing.assert_allclose(vectors[4], towers.user([content[i] for i in "bcd"]), atol=1e-5)


def test_a_late_event_is_not_visible_before_it_arrived(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    """Happened on day 1, appended on day 5: a join at day 4 must not see it."""
    towers = make_towers()
    content = fill_log(["a", "b"], [("ada", "a", at(2))]).content
    late = pd.DataFrame(
        {
            c.USER_ID: ["ada"],
            c.ITEM_ID: ["b"],
            c.EVENT_TIMESTAMP: [at(1)],
            c.EVENT_ID: ["late"],
            c.EVENT_TYPE: ["click"],
            c.VALUE: [None],
            c.AS_OF: [at(5)],
        }
    )
    OfflineLog(config.offline).append("interactions", pl.from_pandas(late).to_arrow())
    space = roll_out.begin(config, towers.uri)
    backfill(config, space, window_days=9)
    view = names.user_embedding_view(space)
    asked = pd.DataFrame({c.USER_ID: ["ada"] * 2, "event_timestamp": [at(4), at(5)]})
    got = (
        open_feature_store(config)
        .get_historical_features(asked, features=[f"{view}:{names.USER_VECTOR}"])
        .to_df()
        .sort_values("event_timestamp")[names.USER_VECTOR]
        .tolist()
    )
    np.testing.assert_allclose(got[0], towers.user([content["a"]]), atol=1e-5)
    np.testing.assert_allclose(got[1], towers.user([content["a"], content["b"]]), atol=1e-5)


def test_a_newer_streamed_vector_survives_and_reruns_change_nothing(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    towers = make_towers()
    fill_log(["a", "b", "c", "d"], EVENTS)
    space = roll_out.begin(config, towers.uri)
    backfill(config, space)
    rows = open_row_store(config)
    key, view = online.entity_key(c.USER_ID, "ada"), names.user_embedding_view(space)
    [[revision]] = rows.read_fields([key], [online.AS_OF_FIELD])
    newer = times.to_us(at(4))
    streamed = online.encode_cell(newer, online.encode_vector(np.ones(4, np.float32)), sequence=7)
    assert rows.replace_rows(
        [RowWrite(key, revision, {online.AS_OF_FIELD: online.encode_time(newer), view: streamed})]
    ) == [True]
    users = list(rows.scan_keys(online.entity_key_prefix(c.USER_ID)))
    before = rows.read_rows(users)
    backfill(config, space)
    assert rows.read_rows(users) == before
    assert rows.read_fields([key], [view]) == [[streamed]]
    assert OfflineLog(config.offline).embeddings(view).height == 2, "readers drop rows appended twice"


def test_forgotten_users_stay_forgotten(config: Config, make_towers: Callable, fill_log: Callable) -> None:
    towers = make_towers()
    fill_log(["a", "b", "c", "d"], EVENTS)
    forgotten = pl.DataFrame({c.USER_ID: ["ada"], c.AS_OF: [at(2, 5)]})
    OfflineLog(config.offline).append("forgotten", forgotten.to_arrow())
    space = roll_out.begin(config, towers.uri)
    backfill(config, space)
    history = OfflineLog(config.offline).interactions().filter(pl.col(c.USER_ID) == "ada")
    assert history[c.ITEM_ID].to_list() == ["d"], "only what was appended later"


def test_another_encoder_or_an_unknown_space_is_refused(
    config: Config, make_towers: Callable, fill_log: Callable
) -> None:
    towers = make_towers()
    fill_log(["a"], [("ada", "a", at(1))])
    space = roll_out.begin(config, towers.uri)
    other = config.model_copy(update={"encoder": config.encoder.model_copy(update={"template": "{title}!"})})
    with pytest.raises(SpaceMismatch, match="encoder"):
        backfill(other, space)
    with pytest.raises(DeploymentError, match="s-unknown is not in"):
        backfill(config, "s-unknown")
