"""Create, stop and look up experiments in the deployment document."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from learn_features.config import Config
from learn_features.contracts.deployment import DeploymentDocument, Experiment, RankerVersion
from learn_features.errors import ConfigError, DeploymentError
from learn_features.experiments.assignment import assign
from learn_features.release.deployment import DeploymentStore

POPULARITY = "popularity"


@dataclass(frozen=True)
class Assignment:
    """A user's arm in an experiment, and the ranker version whose features to read."""

    arm: str
    ranker: str


def create(
    config: Config,
    name: str,
    arms: Mapping[str, str],
    shares: Mapping[str, float] | None = None,
    salt: str | None = None,
) -> DeploymentDocument:
    """Start experiment `name` with `arms` (arm → ranker version) and write the next document version.

    `shares` (arm → share of all users) defaults to equal parts of everybody; `salt` to a random one, so
    that a new experiment shuffles users anew. The version `popularity` is registered on first use, after
    its FeatureService was declared. Raises `DeploymentError` if the name is taken, a ranker is
    unknown or its space is not ready, `ConfigError` if arms and shares do not fit.
    """
    shares = shares or {arm: 1 / len(arms) for arm in arms}
    try:
        experiment = Experiment(arms=dict(arms), shares=dict(shares), salt=salt or secrets.token_hex(8))
    except ValidationError as error:
        raise ConfigError(f"experiment {name}: {error.errors()[0]['msg']}") from None

    def change(document: DeploymentDocument) -> DeploymentDocument:
        if name in document.experiments:
            raise DeploymentError(
                f"experiment {name} exists already; take another name (results keep theirs)"
            )
        rankers = dict(document.rankers)
        for ranker in experiment.arms.values():
            if ranker == POPULARITY:
                rankers.setdefault(POPULARITY, RankerVersion(kind="popularity"))
            elif ranker not in rankers:
                known = ", ".join(sorted({*rankers, POPULARITY}))
                raise DeploymentError(
                    f"experiment {name}: there is no ranker version {ranker}; known: {known}"
                )
            space_id = rankers[ranker].space_id
            if space_id is not None and document.spaces[space_id].state != "ready":
                raise DeploymentError(f"experiment {name}: ranker {ranker} reads a space that is not ready")
        experiments = {**document.experiments, name: experiment}
        return document.model_copy(update={"rankers": rankers, "experiments": experiments})

    store = DeploymentStore(config.deployment)
    before = store.read()
    wanted = change(before)
    if wanted.rankers != before.rankers:
        from learn_features.features.declarations import declare

        declare(config, wanted)
    return store.update(change)


def stop(config: Config, name: str) -> DeploymentDocument:
    """Stop experiment `name`: nobody is assigned from now on; its entry stays for the analysis."""

    def change(document: DeploymentDocument) -> DeploymentDocument:
        stopped = _named(document, name).model_copy(update={"running": False})
        return document.model_copy(update={"experiments": {**document.experiments, name: stopped}})

    return DeploymentStore(config.deployment).update(change)


def look_up(document: DeploymentDocument, name: str, user_id: str) -> Assignment | None:
    """The arm and ranker version of `user_id`; None: not part of the experiment, take the slot's."""
    experiment = _named(document, name)
    arm = assign(experiment, name, user_id)
    return None if arm is None else Assignment(arm, experiment.arms[arm])


def _named(document: DeploymentDocument, name: str) -> Experiment:
    if name not in document.experiments:
        known = ", ".join(sorted(document.experiments)) or "none"
        raise DeploymentError(f"there is no experiment {name}; known: {known}")
    return document.experiments[name]
