"""### Bring a bundle's embedding space into the feature store

begin (declare views, document: filling) → fill (backfill the offline log, Feast `materialize`) → check
(coverage, consistency, staleness) → approval → ready → promote

| param | meaning |
|---|---|
| `bundle_uri` | the bundle; empty: the one whose publication started this run |
| `auto_approve` | false: stop after the checks; start again with true when a person has looked |
| `slot` | move this slot to the space's `dot-product` ranker in the end; empty: leave all slots alone |

While a space is filling, the consumers embed every event into it too, so it has no hole when it is ready.
Every task can be run again.
"""

from typing import Any

from airflow.sdk import Param, dag, task
from learn_assets import BUNDLE, SPACE
from learn_defaults import DAG_DEFAULTS


@task
def begin(*, params: Any = None, triggering_asset_events: Any = None) -> str:
    from learn_features import config
    from learn_features.errors import ConfigError
    from learn_features.features import roll_out

    published = triggering_asset_events[BUNDLE] if params["bundle_uri"] is None else []
    bundle_uri = published[-1].extra["bundle_uri"] if published else params["bundle_uri"]
    if bundle_uri is None:
        raise ConfigError("roll_out_space: give bundle_uri; only a publication names its own bundle")
    return roll_out.begin(config.load(), bundle_uri)


@task
def fill(space_id: str) -> None:
    from learn_features import config
    from learn_features.features import roll_out
    from learn_features.observability import logged_progress
    from learn_features.streaming.refresh import refreshes

    settings = config.load()
    with refreshes(settings) as send:
        roll_out.fill(settings, space_id, send_refresh=send, progress=logged_progress("fill"))


@task
def check(space_id: str) -> None:
    from learn_features import config
    from learn_features.features import roll_out

    roll_out.check(config.load(), space_id)


@task.short_circuit
def approve(*, params: Any = None) -> bool:
    """Skip what follows unless approved."""
    return bool(params["auto_approve"])


@task(outlets=[SPACE])
def ready(space_id: str, *, outlet_events: Any = None) -> None:
    from learn_features import config
    from learn_features.features import roll_out

    roll_out.ready(config.load(), space_id)
    outlet_events[SPACE].extra = {"space_id": space_id}


@task
def promote(space_id: str, *, params: Any = None) -> None:
    from learn_features import config
    from learn_features.contracts import names
    from learn_features.features import roll_out

    if params["slot"] is not None:
        ranker = names.ranker_version("dot-product", space_id)
        roll_out.promote(config.load(), ranker, params["slot"])


PARAMS = {
    "bundle_uri": Param(None, type=["null", "string"], description="empty: the bundle just published"),
    "auto_approve": Param(True, type="boolean"),
    "slot": Param(None, type=["null", "string"]),
}


@dag(dag_id="roll_out_space", schedule=[BUNDLE], params=PARAMS, doc_md=__doc__, **DAG_DEFAULTS)
def roll_out_space() -> None:
    space_id = begin()
    fill(space_id) >> check(space_id) >> approve() >> ready(space_id) >> promote(space_id)


roll_out_space()
