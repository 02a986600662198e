"""What all DAGs share: defaults of tasks, where GPU tasks run, and the folder of a run."""

from datetime import timedelta
from typing import Any

from learn_features import config

DEFAULT_ARGS = {"owner": "learn-features", "retries": 0, "retry_delay": timedelta(minutes=2)}
"""No silent retries: every task is idempotent, and a failed run is cleared and rerun at any task."""

DAG_DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "default_args": DEFAULT_ARGS,
    "tags": ["learn-features"],
}


def gpu() -> dict[str, Any]:
    """`pool` and `queue` of GPU tasks from learn.yaml (`airflow.gpu_pool`, `airflow.gpu_queue`)."""
    settings = config.load().airflow
    queue = {} if settings.gpu_queue is None else {"queue": settings.gpu_queue}
    return {"pool": settings.gpu_pool, **queue}


def run_folder_of(run_id: str) -> str:
    """Folder below the state folder for one run of a DAG, the same when a task is run again."""
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in run_id)
    return config.load().below_state("runs", name)
