"""Feast's objects, all from the contracts and a deployment document.

Entities `user` and `item`; per space its two embedding views, its history view and its encoder's
content view; the popularity view; one FeatureService per ranker version, named like it.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.data_format import ParquetFormat
from feast.types import Array, Float32, Int64, String
from feast.value_type import ValueType

from learn_features.config import Config
from learn_features.contracts import columns as c
from learn_features.contracts import names
from learn_features.contracts.deployment import DeploymentDocument, RankerVersion, Space, SpaceState
from learn_features.features.feast_store import open_feature_store
from learn_features.features.offline_log import OfflineLog
from learn_features.features.view_tags import DEPLOYMENT_TAG, RULE_TAG
from learn_features.release.deployment import DeploymentStore

USER = Entity(name=names.USER_ENTITY, join_keys=[c.USER_ID], value_type=ValueType.STRING)
ITEM = Entity(name=names.ITEM_ENTITY, join_keys=[c.ITEM_ID], value_type=ValueType.STRING)

Declared = dict[str, Any]


def entities() -> Declared:
    return {USER.name: USER, ITEM.name: ITEM}


def feature_views(config: Config, document: DeploymentDocument) -> Declared:
    """Views by name: popularity, and those of every space that is not retired.

    Also writes the typed empty file of each view's data set, without which DuckDB reads none.
    """
    views = [_view(config, names.ITEM_POPULARITY_VIEW, ITEM, [Field(name=names.POPULARITY, dtype=Int64)])]
    for space_id, space in document.embedded_spaces.items():
        views += _space_views(config, space_id, space)
    log = OfflineLog(config.offline)
    for view in views:
        log.ensure(view.name)
    return {view.name: view for view in views}


def feature_services(views: Declared, document: DeploymentDocument) -> Declared:
    """Services by name: one per ranker version whose space is not retired."""
    services = {}
    for name, ranker in document.rankers.items():
        space = document.spaces.get(ranker.space_id or "")
        if space is not None and space.state is SpaceState.RETIRED:
            continue
        read = [views[view] for view in views_of_ranker(ranker)]
        services[name] = FeatureService(name=name, features=read)
    return services


def views_of_ranker(ranker: RankerVersion) -> list[str]:
    """Names of the views that a ranker version reads."""
    views = [names.ITEM_POPULARITY_VIEW]
    if ranker.space_id is not None:
        views += [names.user_embedding_view(ranker.space_id), names.item_embedding_view(ranker.space_id)]
    return views


def feature_objects(config: Config, document: DeploymentDocument | None = None) -> Declared:
    """Everything by name, for the document in force if none is given."""
    document = document or DeploymentStore(config.deployment).read()
    views = feature_views(config, document)
    return {**entities(), **views, **feature_services(views, document)}


def declare(config: Config, document: DeploymentDocument | None = None, store: Any = None) -> Any:
    """Add all objects to Feast's registry; nothing is ever removed. Returns the FeatureStore used."""
    store = store or open_feature_store(config)
    store.apply(list(feature_objects(config, document).values()))
    return store


def _space_views(config: Config, space_id: str, space: Space) -> list[FeatureView]:
    space_tags = {"space_id": space_id, DEPLOYMENT_TAG: _absolute(config.deployment)}
    rule_tags = {RULE_TAG: space.history.model_dump_json(), DEPLOYMENT_TAG: _absolute(config.deployment)}
    encoder_tags = {"encoder_id": space.encoder.id, DEPLOYMENT_TAG: _absolute(config.deployment)}
    history = [
        Field(name=names.HISTORY_TIMESTAMPS, dtype=Array(Int64), description="µs since the epoch"),
        Field(name=names.HISTORY_EVENT_IDS, dtype=Array(String)),
        Field(name=names.HISTORY_ITEM_IDS, dtype=Array(String)),
    ]
    return [
        _view(config, names.user_embedding_view(space_id), USER, [_vector(names.USER_VECTOR)], space_tags),
        _view(config, names.item_embedding_view(space_id), ITEM, [_vector(names.ITEM_VECTOR)], space_tags),
        _view(config, names.user_history_view(space.history.id), USER, history, rule_tags),
        _view(
            config,
            names.item_content_view(space.encoder.id),
            ITEM,
            [_vector(names.CONTENT_VECTOR)],
            encoder_tags,
        ),
    ]


def _vector(name: str) -> Field:
    return Field(name=name, dtype=Array(Float32))


def _view(
    config: Config, name: str, entity: Entity, fields: list[Field], tags: dict[str, str] | None = None
) -> FeatureView:
    source = FileSource(
        name=name,
        path=OfflineLog(config.offline).pattern(name),
        file_format=ParquetFormat(),
        timestamp_field=c.AS_OF,
    )
    return FeatureView(
        name=name,
        entities=[entity],
        schema=[Field(name=entity.join_key, dtype=String), *fields],
        source=source,
        ttl=timedelta(0),
        tags=tags or {},
    )


def _absolute(place: str) -> str:
    return place if "://" in place else str(Path(place).resolve())
