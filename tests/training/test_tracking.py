"""MLflow: a real store in a file, and its absence."""

import os
import shutil
import sys
from contextlib import suppress

import pytest

from learn_features.errors import ConfigError, MissingDependency
from learn_features.training.curves import Epoch, Point, draw_curves
from learn_features.training.tracking import (
    DEFAULT_EXPERIMENT,
    GIVEN_UP,
    NOTE_FILE,
    Tracker,
    _noted,
    tracking,
)

PARAMS = {"seed": 3, "recipe": {"epochs": 2, "loss": "softmax"}}
EPOCHS = [
    Epoch("tune", 1, 5, 4.0, 1e-3, 0.1, {"recall_at_10": 0.1}),
    Epoch("tune", 2, 5, 3.0, 1e-4, 0.1, {"recall_at_10": 0.2}),
    Epoch("final", 1, 6, 2.5, 1e-4, 0.1),
]
POINTS = [Point("tune", 5, 4.0, 1e-3), Point("tune", 10, 3.0, 1e-4), Point("final", 6, 2.5, 1e-4)]


def test_a_run_that_goes_on_is_one_run_with_params_curves_and_files(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database takes ten seconds to create
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "shop")
    uri = f"file:{tmp_path}/mlflow"
    plot = tmp_path / "curves.png"
    draw_curves(EPOCHS, POINTS, plot)
    with suppress(KeyboardInterrupt), tracking(uri, "run-a", tmp_path / "checkpoint", PARAMS) as tracker:
        tracker.note_in(tmp_path / "checkpoint")
        tracker.epoch(EPOCHS[0])
        raise KeyboardInterrupt
    with tracking(uri, "run-a", tmp_path / "checkpoint", PARAMS) as tracker:
        for epoch in EPOCHS[1:]:
            tracker.epoch(epoch)
        tracker.finish(POINTS, [plot])

    import mlflow

    client = mlflow.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("shop").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run-a"
    assert run.data.params == {"seed": "3", "recipe.epochs": "2", "recipe.loss": "softmax"}
    curve = client.get_metric_history(run.info.run_id, "tune/recall_at_10")
    assert [(point.step, point.value) for point in curve] == [(1, 0.1), (2, 0.2)]
    steps = client.get_metric_history(run.info.run_id, "tune/step_loss")
    assert [(point.step, point.value) for point in steps] == [(5, 4.0), (10, 3.0)]
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["curves.png"]
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert plot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_run_that_was_deleted_meanwhile_gives_way_to_another(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = f"file:{tmp_path}/mlflow"
    import mlflow

    client = mlflow.MlflowClient(uri)
    with suppress(KeyboardInterrupt), tracking(uri, "run-a", tmp_path / "checkpoint", PARAMS) as tracker:
        tracker.note_in(tmp_path / "checkpoint")
        raise KeyboardInterrupt
    where = [client.get_experiment_by_name(DEFAULT_EXPERIMENT).experiment_id]
    (begun,) = client.search_runs(where)
    client.delete_run(begun.info.run_id)
    with tracking(uri, "run-a", tmp_path / "checkpoint", PARAMS) as tracker:
        tracker.epoch(EPOCHS[0])
    assert "was deleted, another one begins" in caplog.text
    (run,) = client.search_runs(where)
    assert (run.info.status, run.info.run_id != begun.info.run_id) == ("FINISHED", True)
    assert client.get_metric_history(run.info.run_id, "tune/recall_at_10")


@pytest.mark.parametrize("user", ["bob:s3cr3t@", "bob:s3cr3t@x@", "bob:s3/cr3t@", "bob:s 3/s3cr3t@"])
def test_no_secret_of_the_address_is_shown(tmp_path, monkeypatch, user):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with (
        pytest.raises(ConfigError, match=r"_URI http://127\.0\.0\.1:9\?: cannot be used") as said,
        tracking(f"http://{user}127.0.0.1:9?token=s3cr3t", "run", tmp_path, PARAMS),
    ):
        pass
    assert "cr3t" not in str(said.value)


def test_no_secret_is_written_and_a_note_is_found_again(tmp_path):
    address = "postgresql://bob:s3cr3t@db/flow?password=s3cr3t"
    Tracker(None, address, "run-a").note_in(tmp_path)
    assert "s3cr3t" not in (tmp_path / NOTE_FILE).read_text()
    assert _noted(tmp_path / NOTE_FILE, address) == "run-a"
    assert _noted(tmp_path / NOTE_FILE, "postgresql://bob:s3cr3t@other/flow") is None


def test_a_server_that_stays_away_is_asked_three_times_and_at_the_end(tmp_path, caplog):
    asked = []

    class Away:
        def __getattr__(self, name):
            def call(*_arguments, **_more):
                asked.append(name)
                raise OSError("API request to http://bob:s3cr3t@gone/api failed")

            return call

    tracker = Tracker(Away(), "http://bob:s3cr3t@gone", "run-a")
    for _ in range(9):
        tracker.epoch(EPOCHS[0])
    assert asked == ["log_batch"] * GIVEN_UP
    tracker.finish(POINTS, [tmp_path / "curves.png"])
    tracker.end("FINISHED")
    assert asked[GIVEN_UP:] == ["log_batch", "log_artifact", "set_terminated"]
    assert "no more epochs are sent" in caplog.text
    assert "http://gone/api" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_set_but_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with (
        pytest.raises(MissingDependency, match=r"MLFLOW_TRACKING_URI is set.*learn-features\[mlflow\]"),
        tracking("http://localhost:1", "run", tmp_path, PARAMS),
    ):
        pass


def test_a_place_that_cannot_be_used_stops_before_training(tmp_path):
    with (
        pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI nowhere://x: cannot be used"),
        tracking("nowhere://x", "run", tmp_path, PARAMS),
    ):
        pass


def test_without_a_uri_nothing_is_tracked(tmp_path):
    with tracking(None, "run", tmp_path / "checkpoint", PARAMS) as tracker:
        assert tracker is None
    assert not (tmp_path / "checkpoint").exists()


def test_a_server_that_fails_meanwhile_costs_no_training(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with tracking(f"file:{tmp_path}/mlflow", "run", tmp_path / "checkpoint", PARAMS) as tracker:
        shutil.rmtree(tmp_path / "mlflow")
        tracker.epoch(EPOCHS[0])
        tracker.finish(POINTS, [tmp_path / "nothing"])
    assert "MLflow did not take what was logged" in caplog.text


def test_a_store_whose_driver_fails_is_said_in_one_line(tmp_path, monkeypatch):
    import mlflow

    def fails(*_arguments):
        raise RuntimeError("unable to open database file\n(Background on this error …)")

    monkeypatch.setattr(mlflow, "MlflowClient", fails)
    with (
        pytest.raises(ConfigError, match=r"sqlite:///x: cannot be used: unable to open database file$"),
        tracking("sqlite:///x", "run", None, PARAMS),
    ):
        pass
