"""### Content vectors of the catalogue, brought up to date

Encodes new and changed items with the frozen text encoder of `learn.yaml`; unchanged ones cost a look-up.
`data_folder` holds `items.parquet` and `interactions.parquet`.
"""

from typing import Any

from airflow.sdk import Param, dag, task
from learn_assets import CONTENT
from learn_defaults import DAG_DEFAULTS, gpu


@task(outlets=[CONTENT], **gpu())
def embed(*, params: Any = None) -> dict[str, float | int | str]:
    from dataclasses import asdict

    from learn_features import config
    from learn_features.content.embed import embed_catalogue
    from learn_features.data.tables import read_dataset
    from learn_features.observability import logged_progress

    settings = config.load()
    items = read_dataset(params["data_folder"], settings.data).items
    return asdict(embed_catalogue(settings, items, progress=logged_progress("embed")))


PARAMS = {
    "data_folder": Param("data", type="string", description="items.parquet and interactions.parquet"),
}


@dag(dag_id="embed_catalog", schedule=None, params=PARAMS, doc_md=__doc__, **DAG_DEFAULTS)
def embed_catalog() -> None:
    embed()


embed_catalog()
