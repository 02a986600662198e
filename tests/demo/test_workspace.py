"""The demo's own settings: its services, the caller's way to read data."""

from pathlib import Path

import pytest

from learn_features.demo.options import Options
from learn_features.demo.run import run_demo
from learn_features.demo.workspace import claimed, fresh, write_settings
from learn_features.errors import ConfigError, DataError


def test_the_callers_columns_rule_and_gate_hold_in_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "learn.yaml").write_text(
        "state: theirs\n"
        "data: {item_columns: {item_id: sku}}\n"
        "history: {event_types: [click], max_length: 7}\n"
        "training: {min_lift_over_popularity: 1.2}\n"
        "kafka: {bootstrap_servers: 'theirs:1'}\n"
    )
    monkeypatch.chdir(tmp_path)
    workspace = fresh(tmp_path / "demo")
    config = write_settings(workspace, "localhost:1", None)
    assert config.data.item_columns == {"item_id": "sku"}
    assert (config.history.event_types, config.history.max_length) == (("click",), 7)
    assert config.training.min_lift_over_popularity == 1.2
    assert config.kafka.bootstrap_servers == "localhost:1"
    assert config.state == str(workspace.folder / "state")


def test_without_settings_no_figure_stops_a_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        write_settings(fresh(tmp_path / "demo"), "localhost:1", None).training.min_lift_over_popularity == 0
    )


def test_a_folder_has_one_demo_at_a_time(tmp_path: Path) -> None:
    with claimed(tmp_path / "demo"):
        with pytest.raises(ConfigError, match="another demo runs there"), claimed(tmp_path / "demo"):
            pass
        with claimed(tmp_path / "other"):
            pass
    with claimed(tmp_path / "demo"):
        pass


def test_a_folder_that_no_demo_has_made_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="not made by the demo"):
        fresh(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_data_that_cannot_be_read_leave_the_last_demo_alone(tmp_path: Path) -> None:
    last = fresh(tmp_path / "demo")
    last.summary.write_text("{}")
    with pytest.raises(DataError):
        run_demo(Options(folder=last.folder, data=tmp_path / "absent"))
    assert last.summary.exists()
