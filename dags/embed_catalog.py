"""### Content vectors of the catalogue, brought up to date

Encodes new and changed items with the frozen text encoder of `learn.yaml`; unchanged ones cost a look-up.
`data_folder` holds `items.parquet` and `interactions.parquet`.
"""

from airflow.sdk import Param, dag, task
from learn_assets import CONTENT
from learn_defaults import DAG_DEFAULTS, gpu


@task(outlets=[CONTENT], **gpu())
def embed(data_folder: str) -> dict[str, float | int | str]:
    from dataclasses import asdict

    from learn_features import config
    from learn_features.content.embed import embed_catalogue
    from learn_features.data.tables import read_dataset
    from learn_features.observability import logged_progress

    settings = config.load()
    items = read_dataset(data_folder, settings.data).items
    return asdict(embed_catalogue(settings, items, progress=logged_progress("embed")))


@dag(dag_id="embed_catalog", schedule=None, doc_md=__doc__, **DAG_DEFAULTS)
def embed_catalog(
    data_folder: str = Param("data", type="string", description="items.parquet and interactions.parquet"),
) -> None:
    embed(data_folder)


embed_catalog()
