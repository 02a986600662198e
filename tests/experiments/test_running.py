"""Experiments in a real deployment document and Feast registry, through the commands."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from learn_features import config as settings
from learn_features.cli.main import app
from learn_features.config import CONFIG_VARIABLE, Config
from learn_features.contracts.deployment import DeploymentDocument, RankerVersion, Space, SpaceState
from learn_features.contracts.history import HistoryRule
from learn_features.contracts.manifest import EncoderSpec
from learn_features.contracts.names import ranker_version
from learn_features.demo.workspace import feature_store_settings
from learn_features.errors import ConfigError, DeploymentError
from learn_features.experiments.running import create, look_up, stop
from learn_features.features.feast_store import open_feature_store
from learn_features.release.deployment import DeploymentStore

READY, FILLING = "s000000000001", "s000000000002"


def space(state: SpaceState) -> Space:
    encoder = EncoderSpec(model="m", revision="r", template="{title}", dimension=4)
    cutoff = datetime(2026, 1, 1, tzinfo=UTC)
    return Space(
        state=state,
        bundle="bundles/x",
        encoder=encoder,
        history=HistoryRule(),
        dimension=4,
        data_cutoff=cutoff,
    )


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A deployment with one ready and one filling space."""
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(feature_store_settings(None)))
    (tmp_path / "learn.yaml").write_text("{state: state, feature_store: feature_store.yaml}\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "learn.yaml"))

    def with_spaces(document: DeploymentDocument) -> DeploymentDocument:
        spaces = {READY: space(SpaceState.READY), FILLING: space(SpaceState.FILLING)}
        rankers = {
            ranker_version("dot-product", s): RankerVersion(kind="dot-product", space_id=s) for s in spaces
        }
        return document.model_copy(update={"spaces": spaces, "rankers": rankers})

    config = settings.load()
    DeploymentStore(config.deployment).update(with_spaces)
    return config


ARMS = {"embeddings": ranker_version("dot-product", READY), "popularity": "popularity"}


def test_create_declares_the_popularity_service_and_writes_the_document(config: Config) -> None:
    document = create(config, "first", ARMS, salt="salt")
    assert DeploymentStore(config.deployment).read() == document
    assert document.experiments["first"].shares == {"embeddings": 0.5, "popularity": 0.5}
    assert document.rankers["popularity"].space_id is None
    service = open_feature_store(config).get_feature_service("popularity")
    assert [projection.name for projection in service.feature_view_projections] == ["item_popularity"]
    assert READY in document.live_spaces


def test_users_are_looked_up_until_the_experiment_stops(config: Config) -> None:
    document = create(config, "first", ARMS, {"embeddings": 0.2, "popularity": 0.1})
    found = [look_up(document, "first", f"u{n}") for n in range(2_000)]
    assert {a.ranker for a in found if a and a.arm == "embeddings"} == {ARMS["embeddings"]}
    assert 0.65 < sum(a is None for a in found) / len(found) < 0.75
    stopped = stop(config, "first")
    assert {look_up(stopped, "first", f"u{n}") for n in range(50)} == {None}
    assert READY not in stopped.live_spaces


@pytest.mark.parametrize(
    ("arms", "shares", "error", "message"),
    [
        ({"a": "dot-product__s0"}, None, DeploymentError, "there is no ranker version dot-product__s0"),
        ({"a": ranker_version("dot-product", FILLING)}, None, DeploymentError, "not ready"),
        (ARMS, {"embeddings": 0.9, "popularity": 0.2}, ConfigError, "sum to at most 1"),
        (ARMS, {"embeddings": 0.9}, ConfigError, "must agree"),
    ],
)
def test_what_cannot_run_is_refused(
    config: Config,
    arms: dict[str, str],
    shares: dict[str, float] | None,
    error: type[Exception],
    message: str,
) -> None:
    before = DeploymentStore(config.deployment).read()
    with pytest.raises(error, match=message):
        create(config, "first", arms, shares)
    assert DeploymentStore(config.deployment).read() == before


def test_names_are_not_reused_and_unknown_ones_named(config: Config) -> None:
    create(config, "first", ARMS)
    with pytest.raises(DeploymentError, match="exists already"):
        create(config, "first", ARMS)
    with pytest.raises(DeploymentError, match="no experiment second; known: first"):
        stop(config, "second")


def test_the_commands_agree_with_the_library(config: Config) -> None:
    run = CliRunner().invoke
    created = run(app, ["experiments", "create", "first", f"a={ARMS['embeddings']}:0.5", "b=popularity:0.5"])
    assert created.exit_code == 0, created.output
    assigned = json.loads(run(app, ["experiments", "assign", "first", "u1", "u2", "--json"]).stdout)
    document = DeploymentStore(config.deployment).read()
    expected = {user: look_up(document, "first", user) for user in ("u1", "u2")}
    assert {row["user_id"]: (row["arm"], row["ranker"]) for row in assigned} == {
        user: (found.arm, found.ranker) for user, found in expected.items() if found
    }
    assert run(app, ["experiments", "stop", "first"]).exit_code == 0
    assert "stopped" in run(app, ["experiments", "list"]).stdout
    again = run(app, ["experiments", "create", "other", "a"])
    assert isinstance(again.exception, ConfigError)
