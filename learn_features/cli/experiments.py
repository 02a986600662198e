"""`experiments create|assign|list|stop`: A/B tests of ranker versions."""

import json
from typing import Annotated

import typer

from learn_features import config as settings

_JSON = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="A/B tests of ranker versions.")
    group.command("create")(create_experiment)
    group.command("assign")(assign_users)
    group.command("list")(list_experiments)
    group.command("stop")(stop_experiment)
    app.add_typer(group, name="experiments")


def create_experiment(
    name: Annotated[str, typer.Argument(help="Name of the experiment.")],
    arms: Annotated[
        list[str],
        typer.Argument(help="ARM=RANKER or ARM=RANKER:SHARE; RANKER is a version, or `popularity`."),
    ],
    salt: Annotated[str | None, typer.Option(help="Reuse a salt to keep users where they were.")] = None,
    as_json: _JSON = False,
) -> None:
    """Start an experiment; without shares the arms divide all users equally."""
    from learn_features.experiments.running import create

    rankers, shares = _parse_arms(arms)
    document = create(settings.load(), name, rankers, shares, salt)
    experiment = document.experiments[name]
    if as_json:
        typer.echo(
            json.dumps({"name": name, "version": document.version, **experiment.model_dump()}, indent=1)
        )
        return
    typer.echo(f"experiment {name} runs (deployment document {document.version})")
    for arm, ranker in sorted(experiment.arms.items()):
        typer.echo(f"  {arm}: {ranker}, {experiment.shares[arm]:.1%} of users")


def assign_users(
    name: Annotated[str, typer.Argument(help="Name of the experiment.")],
    users: Annotated[list[str], typer.Argument(help="User ids.")],
    as_json: _JSON = False,
) -> None:
    """Say which arm and ranker users get; nothing is stored."""
    from learn_features.experiments.running import look_up
    from learn_features.release.deployment import DeploymentStore

    document = DeploymentStore(settings.load().deployment).read()
    assignments = {user: look_up(document, name, user) for user in users}
    if as_json:
        rows = [
            {"user_id": user, "arm": found.arm if found else None, "ranker": found.ranker if found else None}
            for user, found in assignments.items()
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    for user, found in assignments.items():
        typer.echo(f"{user}\t{found.arm}\t{found.ranker}" if found else f"{user}\t-\t(the slot's ranker)")


def list_experiments(as_json: _JSON = False) -> None:
    """List experiments, running and stopped."""
    from learn_features.release.deployment import DeploymentStore

    experiments = DeploymentStore(settings.load().deployment).read().experiments
    if as_json:
        typer.echo(json.dumps({k: v.model_dump() for k, v in sorted(experiments.items())}, indent=1))
        return
    if not experiments:
        typer.echo("no experiments; learn-features experiments create NAME ARM=RANKER ARM=RANKER")
    for name, experiment in sorted(experiments.items()):
        arms = ", ".join(
            f"{arm}={experiment.arms[arm]}:{experiment.shares[arm]:g}" for arm in sorted(experiment.arms)
        )
        typer.echo(f"{name}\t{'running' if experiment.running else 'stopped'}\t{arms}")


def stop_experiment(
    name: Annotated[str, typer.Argument(help="Name of the experiment.")], as_json: _JSON = False
) -> None:
    """Stop an experiment: from now on it assigns nobody."""
    from learn_features.experiments.running import stop

    document = stop(settings.load(), name)
    if as_json:
        typer.echo(json.dumps({"name": name, "running": False, "version": document.version}))
        return
    typer.echo(f"experiment {name} is stopped (deployment document {document.version})")


def _parse_arms(arms: list[str]) -> tuple[dict[str, str], dict[str, float] | None]:
    from learn_features.errors import ConfigError

    rankers: dict[str, str] = {}
    shares: dict[str, float] = {}
    for text in arms:
        arm, equals, rest = text.partition("=")
        ranker, colon, share = rest.partition(":")
        if not (arm and equals and ranker) or arm in rankers:
            raise ConfigError(f"{text}: an arm is NAME=RANKER or NAME=RANKER:SHARE, each name once")
        rankers[arm] = ranker
        if colon:
            try:
                shares[arm] = float(share)
            except ValueError:
                raise ConfigError(f"{text}: the share {share!r} is not a number") from None
    if shares and set(shares) != set(rankers):
        raise ConfigError("give a share to every arm or to none")
    return rankers, shares or None
