"""DAG runs in a real Airflow: values come back, progress is passed on, failures say which task and why."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from learn_features.demo import airflow
from learn_features.demo.airflow import Airflow, DagFailed

DAG = '''
"""A DAG with one task after the other."""
from airflow.sdk import Param, dag, task

@task
def count(*, params=None):
    upto = params["upto"]
    from learn_features.observability import logged_progress
    progress = logged_progress("count", every_seconds=0)
    for number in range(1, upto + 1):
        progress(number, upto)
    return upto

@task
def judge(counted, *, params=None):
    kind = params["kind"]
    from learn_features.errors import GateFailed
    if kind == "refuse":
        raise GateFailed("too little")
    if kind == "break":
        raise KeyError("unforeseen")
    return {"counted": counted}

@dag(dag_id="counting", schedule=None, params={"upto": Param(3, type="integer"), "kind": Param("pass")})
def counting():
    judge(count())

counting()
'''


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    folder = tmp_path_factory.mktemp("airflow")
    (folder / "dags").mkdir()
    (folder / "dags" / "counting.py").write_text(DAG)
    (folder / "learn.yaml").write_text("state: state\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(airflow, "DAGS_FOLDER", folder / "dags")
        with Airflow(folder / "home", folder / "learn.yaml", folder / "airflow.log") as started:
            yield started


def test_values_and_progress_come_back(running: Airflow) -> None:
    seen: list[tuple[str, int, int]] = []
    assert running.run("counting", {"upto": 4}, lambda *step: seen.append(step)) == {
        "count": 4,
        "judge": {"counted": 4},
    }
    assert {what for what, _, _ in seen} <= {"count", "judge"}
    assert seen


def test_a_refusal_is_one_message_and_a_defect_brings_the_log(running: Airflow) -> None:
    with pytest.raises(DagFailed, match=r"DAG counting, task judge: too little \(log: .*airflow.log\)$"):
        running.run("counting", {"kind": "refuse"})
    with pytest.raises(DagFailed, match=r"task judge: KeyError\('unforeseen'\)\nthe end of"):
        running.run("counting", {"kind": "break"})
    assert running.run("counting", {"upto": 1})["count"] == 1


def test_no_process_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "learn.yaml").write_text("state: state\n")
    monkeypatch.setattr(airflow, "DAGS_FOLDER", tmp_path / "dags")
    started = Airflow(tmp_path / "home", tmp_path / "learn.yaml", tmp_path / "airflow.log")
    with started:
        process = started._process
        assert process is not None
        assert process.poll() is None
    assert process.poll() is not None
