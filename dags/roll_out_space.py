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
def begin(bundle_uri: str | None, *, triggering_asset_events: Any = None) -> str:
    from learn_features import config
    from learn_features.features import roll_out

    if bundle_uri is None:
        bundle_uri = triggering_asset_events[BUNDLE][-1].extra["bundle_uri"]
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
def approve(auto_approve: bool) -> bool:
    """Skip what follows unless approved."""
    return auto_approve


@task(outlets=[SPACE])
def ready(space_id: str, *, outlet_events: Any = None) -> None:
    from learn_features import config
    from learn_features.features import roll_out

    roll_out.ready(config.load(), space_id)
    outlet_events[SPACE].extra = {"space_id": space_id}


@task
def promote(space_id: str, slot: str | None) -> None:
    from learn_features import config
    from learn_features.contracts import names
    from learn_features.features import roll_out

    if slot is not None:
        roll_out.promote(config.load(), names.ranker_version("dot-product", space_id), slot)


@dag(dag_id="roll_out_space", schedule=[BUNDLE], doc_md=__doc__, **DAG_DEFAULTS)
def roll_out_space(
    bundle_uri: str | None = Param(None, type=["null", "string"]),
    auto_approve: bool = Param(True, type="boolean"),
    slot: str | None = Param(None, type=["null", "string"]),
) -> None:
    space_id = begin(bundle_uri)
    (fill(space_id) >> check(space_id) >> approve(auto_approve) >> ready(space_id) >> promote(space_id, slot))


roll_out_space()
