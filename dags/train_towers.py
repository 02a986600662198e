"""### Train the two towers and publish them as a bundle

snapshot → embed → train (GPU) → evaluate → gate → publish

| param | meaning |
|---|---|
| `data_folder` | folder with `items.parquet` and `interactions.parquet` |
| `run_folder` | where the run's files go, refused with others' data or training; empty: `runs/<run id>` |
| `parent` | bundle URI to start warm from; empty: from scratch |
| `epochs`, `seed` | empty: as in `learn.yaml` |
| `fresh` | start anew, in place of what the run's folder holds, finished or stopped |

Every task is idempotent: clear a failed one and it goes on from there, `train` at the step of its last
checkpoint. The gate stops a model that is
worse than popularity (`training.min_lift_over_popularity`). Publishing exports both towers to ONNX,
compares them with torch, and updates the asset that starts `roll_out_space`.
"""

from typing import Any

from airflow.sdk import Param, dag, task
from learn_assets import BUNDLE
from learn_defaults import DAG_DEFAULTS, gpu, run_folder_of


@task
def snapshot(*, params: Any = None, run_id: Any = None) -> str:
    """Copy the validated data into the run's folder; what follows reads nothing else."""
    from learn_features import config
    from learn_features.training.snapshot import take_snapshot

    folder = params["run_folder"] or run_folder_of(run_id)
    return take_snapshot(config.load(), params["data_folder"], folder, owner=run_id, fresh=params["fresh"])


@task(**gpu())
def embed(run_folder: str) -> None:
    from learn_features import config
    from learn_features.content.embed import embed_catalogue
    from learn_features.data.tables import read_dataset
    from learn_features.observability import logged_progress
    from learn_features.training.snapshot import snapshot_folder

    settings = config.load()
    items = read_dataset(snapshot_folder(run_folder), settings.data).items
    embed_catalogue(settings, items, progress=logged_progress("embed"))


@task(**gpu())
def train(run_folder: str, *, params: Any = None) -> None:
    from learn_features import config
    from learn_features.observability import logged_progress
    from learn_features.training import train as training
    from learn_features.training.snapshot import snapshot_folder

    training.train(
        config.load(),
        snapshot_folder(run_folder),
        run_folder,
        parent=params["parent"],
        epochs=params["epochs"],
        seed=params["seed"],
        progress=logged_progress("train"),
    )


@task
def evaluate(run_folder: str) -> None:
    from learn_features import config
    from learn_features.evaluation.run import evaluate_run
    from learn_features.observability import logged_progress
    from learn_features.training.snapshot import snapshot_folder

    evaluate_run(config.load(), snapshot_folder(run_folder), run_folder, progress=logged_progress("evaluate"))


@task
def gate(run_folder: str) -> None:
    from learn_features import config
    from learn_features.evaluation.gate import check_lift

    check_lift(config.load(), run_folder)


@task(outlets=[BUNDLE])
def publish(run_folder: str, *, outlet_events: Any = None) -> str:
    from learn_features import config
    from learn_features.contracts.run_files import EVALUATION_FILE
    from learn_features.evaluation.written import read_evaluation
    from learn_features.release.export import export_run

    evaluation = read_evaluation(f"{run_folder}/{EVALUATION_FILE}")
    uri = export_run(config.load(), run_folder, evaluation)
    outlet_events[BUNDLE].extra = {"bundle_uri": uri}
    return uri


PARAMS = {
    "data_folder": Param("data", type="string", description="items.parquet and interactions.parquet"),
    "run_folder": Param(None, type=["null", "string"]),
    "parent": Param(None, type=["null", "string"], description="bundle to start warm from"),
    "epochs": Param(None, type=["null", "integer"], minimum=1),
    "seed": Param(None, type=["null", "integer"]),
    "fresh": Param(False, type="boolean"),
}


@dag(dag_id="train_towers", schedule=None, params=PARAMS, doc_md=__doc__, **DAG_DEFAULTS)
def train_towers() -> None:
    folder = snapshot()
    embed(folder) >> train(folder) >> evaluate(folder) >> gate(folder) >> publish(folder)


train_towers()
