"""DAGs run by a real Airflow where little is needed; the demo's tests run the whole chain."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from learn_features.demo.airflow import Airflow, DagFailed
from learn_features.demo.workspace import feature_store_settings


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    folder = tmp_path_factory.mktemp("airflow")
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(feature_store_settings(None)))
    (folder / "learn.yaml").write_text("{state: state, feature_store: feature_store.yaml}\n")
    with Airflow(folder / "home", folder / "learn.yaml", folder / "airflow.log") as running:
        yield running


def test_a_roll_out_started_by_hand_asks_for_its_bundle(airflow: Airflow) -> None:
    with pytest.raises(DagFailed, match=r"DAG roll_out_space, task begin: .*give bundle_uri"):
        airflow.run("roll_out_space", {})


def test_training_on_a_missing_folder_names_it(airflow: Airflow, tmp_path: Path) -> None:
    with pytest.raises(DagFailed, match=f"task snapshot: {tmp_path}/none: there is no such folder"):
        airflow.run("train_towers", {"data_folder": f"{tmp_path}/none"})


def test_a_refresh_of_nothing_does_nothing(airflow: Airflow) -> None:
    assert airflow.run("refresh_features", {}) == {"sweep": {}}
