"""A process that runs DAGs in-process (`dag.test()`), one after the other, for the demo.

`python -m learn_features.demo.dag_worker` reads one JSON request a line from stdin,
`{"dag": …, "conf": {…}, "reply": FILE}`, and writes `{"state": …, "values": {task: XCom}, "failed_task":
…, "error": …, "meant_for_people": …}` to FILE. It ends when stdin closes, whatever it is doing then.
Airflow's own start costs ten seconds, so one process serves all runs.
"""

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any

from learn_features.durable import write_text
from learn_features.errors import LearnFeaturesError

_EXIT_ORPHANED = 3


def _requests() -> "queue.Queue[dict[str, Any]]":
    """Requests from stdin; the end of stdin ends the process, also in the middle of a run."""
    received: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            received.put(json.loads(line))
        os._exit(_EXIT_ORPHANED)

    threading.Thread(target=read, daemon=True).start()
    return received


def _load_dags() -> dict[str, Any]:
    from airflow.configuration import conf
    from airflow.dag_processing.dagbag import BundleDagBag

    folder = Path(conf.get("core", "dags_folder"))
    bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
    if bag.import_errors:
        raise RuntimeError("\n".join(f"{file}: {error}" for file, error in bag.import_errors.items()))
    return dict(bag.dags)


def _run(dag: Any, conf: dict[str, Any]) -> dict[str, Any]:
    failure: dict[str, Any] = {}

    def remember(context: Any) -> None:
        failure["failed_task"] = context["task_instance"].task_id
        error = context.get("exception")
        failure["error"] = str(error) if isinstance(error, LearnFeaturesError) else repr(error)
        failure["meant_for_people"] = isinstance(error, LearnFeaturesError)

    for task in dag.tasks:
        task.on_failure_callback = [remember]
    run = dag.test(run_conf=conf)
    instances = run.get_task_instances()
    values = {instance.task_id: instance.xcom_pull(task_ids=instance.task_id) for instance in instances}
    return {"state": str(run.state), "values": values, **failure}


def main() -> None:
    """Serve requests until stdin closes."""
    requests = _requests()
    _load_dags()
    while True:
        request = requests.get()
        try:
            # Parsed anew: a run leaves its parameters in the DAG object.
            reply = _run(_load_dags()[request["dag"]], request["conf"])
        except Exception as error:  # the demo must hear of whatever went wrong in Airflow itself
            reply = {"state": "failed", "values": {}, "error": repr(error)}
        write_text(Path(request["reply"]), json.dumps(reply, default=str))


if __name__ == "__main__":
    main()
