"""### Keep features fresh where no event does: every night

sweep: a `user_refresh` for every user whose vectors are older than their history or an item in it. Whoever
consumes `user_refresh` recomputes them; the sweep waits for that at most `wait_seconds`.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from learn_defaults import DAG_DEFAULTS


@task
def sweep(*, params: Any = None) -> dict[str, int]:
    from learn_features import config
    from learn_features.streaming.refresh import sweep_spaces

    return sweep_spaces(config.load(), params["wait_seconds"])


PARAMS = {"wait_seconds": Param(300, type="integer", minimum=0)}


@dag(dag_id="refresh_features", schedule=timedelta(days=1), params=PARAMS, doc_md=__doc__, **DAG_DEFAULTS)
def refresh_features() -> None:
    sweep()


refresh_features()
