"""The DAG files parse quickly into these DAGs, with these parameters, and import nothing heavy."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from learn_features.demo.airflow import DAGS_FOLDER, airflow_environment

READ_DAGS = """
import json, sys, time
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk import Param
folder = sys.argv[1]
before = set(sys.modules)
begin = time.monotonic()
bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
seconds = time.monotonic() - begin
heavy = ("torch", "transformers", "feast", "duckdb", "onnxruntime", "kafka", "polars", "matplotlib")
found = {
    "errors": {str(k): v for k, v in bag.import_errors.items()},
    "seconds": seconds,
    "heavy": [name for name in heavy if name in sys.modules and name not in before],
    "dags": {
        dag_id: {
            "params": {name: dag.params.get_param(name).value for name in dag.params},
            "tasks": {t.task_id: sorted(t.upstream_task_ids) for t in dag.tasks},
            "pools": {t.task_id: [t.pool, t.queue] for t in dag.tasks},
            "retries": {t.retries for t in dag.tasks}.pop(),
            "catchup": dag.catchup,
            "schedule": dag.timetable.__class__.__name__,
            "documented": bool(dag.doc_md),
            "outlets": {t.task_id: [a.name for a in t.outlets] for t in dag.tasks if t.outlets},
        }
        for dag_id, dag in bag.dags.items()
    },
}
print("RESULT" + json.dumps(found))
"""


def read_dags(folder: Path, settings: str) -> dict[str, Any]:
    """Parse the DAG folder in a process of its own, under `settings` as learn.yaml."""
    (folder / "learn.yaml").write_text(settings)
    environment = airflow_environment(folder / "airflow", folder / "learn.yaml", dict(os.environ))
    done = subprocess.run(
        [sys.executable, "-c", READ_DAGS, str(DAGS_FOLDER)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT"))
    return found


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return read_dags(tmp_path_factory.mktemp("dags"), "airflow: {gpu_pool: accelerators, gpu_queue: gpu}\n")


def test_all_files_parse_into_the_documented_dags(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert set(parsed["dags"]) == {"embed_catalog", "train_towers", "roll_out_space", "refresh_features"}
    for dag in parsed["dags"].values():
        assert dag["documented"]
        assert dag["catchup"] is False
        assert dag["retries"] == 0


def test_parsing_is_quick_and_imports_nothing_heavy(parsed: dict[str, Any]) -> None:
    assert parsed["heavy"] == []
    assert parsed["seconds"] < 5


def test_parameters_and_defaults(parsed: dict[str, Any]) -> None:
    assert {dag_id: dag["params"] for dag_id, dag in parsed["dags"].items()} == {
        "embed_catalog": {"data_folder": "data"},
        "train_towers": {
            "data_folder": "data",
            "run_folder": None,
            "parent": None,
            "epochs": None,
            "seed": None,
            "fresh": False,
        },
        "roll_out_space": {"bundle_uri": None, "auto_approve": True, "slot": None},
        "refresh_features": {"wait_seconds": 300},
    }


def test_tasks_follow_each_other(parsed: dict[str, Any]) -> None:
    assert parsed["dags"]["train_towers"]["tasks"] == {
        "snapshot": [],
        "embed": ["snapshot"],
        "train": ["embed", "snapshot"],
        "evaluate": ["snapshot", "train"],
        "gate": ["evaluate", "snapshot"],
        "publish": ["gate", "snapshot"],
    }
    assert parsed["dags"]["roll_out_space"]["tasks"] == {
        "begin": [],
        "fill": ["begin"],
        "check": ["begin", "fill"],
        "approve": ["check"],
        "ready": ["approve", "begin"],
        "promote": ["begin", "ready"],
    }


def test_assets_link_training_to_roll_out(parsed: dict[str, Any]) -> None:
    assert parsed["dags"]["train_towers"]["outlets"] == {"publish": ["learn_features_bundle"]}
    assert parsed["dags"]["roll_out_space"]["outlets"] == {"ready": ["learn_features_space"]}
    assert parsed["dags"]["embed_catalog"]["outlets"] == {"embed": ["learn_features_content"]}
    assert "Asset" in parsed["dags"]["roll_out_space"]["schedule"]


def test_only_gpu_tasks_use_the_configured_pool_and_queue(parsed: dict[str, Any]) -> None:
    on_gpu = {
        (dag_id, task)
        for dag_id, dag in parsed["dags"].items()
        for task, place in dag["pools"].items()
        if place == ["accelerators", "gpu"]
    }
    assert on_gpu == {("embed_catalog", "embed"), ("train_towers", "embed"), ("train_towers", "train")}


def test_without_settings_gpu_tasks_run_where_airflow_always_has_slots(tmp_path: Path) -> None:
    """A task in a pool that does not exist would wait for ever."""
    pools = [place for dag in read_dags(tmp_path, "")["dags"].values() for place in dag["pools"].values()]
    assert {tuple(place) for place in pools} == {("default_pool", "default")}
