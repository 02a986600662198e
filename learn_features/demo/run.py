"""A whole run: services up, seven steps, services down, summary."""

import time
from contextlib import ExitStack

from learn_features import config as settings
from learn_features.config import Config
from learn_features.data.tables import read_dataset
from learn_features.demo import (
    data_step,
    handover,
    model_step,
    rank_step,
    report,
    slot_step,
    stream_step,
    workspace,
)
from learn_features.demo.airflow import Airflow
from learn_features.demo.console import Terminal
from learn_features.demo.consumers import Consumers
from learn_features.demo.context import Context
from learn_features.demo.expectations import Size
from learn_features.demo.options import Options
from learn_features.demo.summary import Summary
from learn_features.demo.workspace import Workspace
from learn_features.errors import GateFailed

STORY_FILE = "story.json"
_COMMAND_WIDTH = 62


def run_demo(options: Options, terminal: Terminal | None = None) -> Summary:
    """Run everything; raises `GateFailed` in the end if an event was lost or a read failed or was mixed."""
    terminal = terminal or Terminal()
    begin = time.monotonic()
    _check_data(options)
    with workspace.claimed(options.folder):
        return _run(options, terminal, begin)


def _check_data(options: Options) -> None:
    """Read the data once before anything of an earlier run is emptied; raises `DataError`."""
    if options.data is not None:
        read_dataset(options.data, settings.load(options.external).data)


def _run(options: Options, terminal: Terminal, begin: float) -> Summary:
    place = workspace.fresh(options.folder)
    size = Size(options.items, options.users, 24 * options.users, quick=options.quick)
    terminal.print(f"learn-features demo in {place.folder}; logs in {place.folder / 'logs'}\n")
    with ExitStack() as stack:
        with terminal.step("0 Services", 5.0):
            config = _services(options, place, stack)
            config_file = place.config_file if options.external is None else options.external.resolve()
            airflow = Airflow(place.airflow_home, config_file, place.log("airflow"))
            stack.enter_context(airflow)
        context = Context(options, place, terminal, config, config_file, airflow, size, stack)
        consumers = stack.enter_context(Consumers(config_file, place.folder / "logs"))
        data_step.prepare(context)
        model_step.train(context)
        model_step.serve(context)
        stream_step.stream(context, consumers)
        slot_step.roll_out_and_back(context)
        rank_step.rank_and_experiment(context)
        _report(context, begin)
        _close(context)
        if options.keep_running:
            _wait(terminal)
    _check(context.summary)
    return context.summary


def _services(options: Options, place: Workspace, stack: ExitStack) -> Config:
    """Start what the demo brings itself, or take what `--external` names; the effective settings."""
    if options.external is not None:
        return settings.load(options.external)
    from learn_features.services.kafka import kafka_broker
    from learn_features.services.redis import redis_server

    redis_url = stack.enter_context(redis_server(place.redis)).url if options.redis else None
    broker = stack.enter_context(kafka_broker(place.kafka))
    return workspace.write_settings(place, broker.bootstrap_servers, redis_url)


def _report(context: Context, begin: float) -> None:
    summary, place = context.summary, context.workspace
    with context.step(7, "Report", "report") as step:
        summary.wall_seconds = round(time.monotonic() - begin, 1)
        context.story.write(place.folder / STORY_FILE)
        report.write_report(place.report, summary, context.story)
        step.note(str(place.report))
    summary.wall_seconds = round(time.monotonic() - begin, 1)
    summary.write(place.summary)


def _close(context: Context) -> None:
    terminal, place = context.terminal, context.workspace
    terminal.print()
    terminal.table("Summary", ("what", "measured"), context.summary.rows())
    terminal.print(f"\n{context.summary.sentence}")
    terminal.print(f"Report: {place.report}\nFigures: {place.summary}\n\nNext:")
    for command, shows in handover.next_commands(place):
        terminal.print(f"  {command:<{_COMMAND_WIDTH}} {shows}")
    terminal.print(
        "\nThe same against your own Kafka, Redis and Feast, learn-features demo --external learn.yaml:"
    )
    terminal.print("\n".join(f"    {line}" for line in handover.EXTERNAL_LEARN_YAML.splitlines()))


def _wait(terminal: Terminal) -> None:
    terminal.print("\nbroker and consumers keep running; Ctrl-C stops them")
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        terminal.print("stopping")


def _check(summary: Summary) -> None:
    problems = []
    if summary.stream["lost"]:
        problems.append(f"{summary.stream['lost']} events were lost")
    if summary.rollout["errors"]:
        problems.append(f"{summary.rollout['errors']} reads failed, first: {summary.rollout['first_error']}")
    if summary.rollout["mixed"]:
        problems.append(f"{summary.rollout['mixed']} reads mixed two spaces")
    if problems:
        raise GateFailed("the demo ran to its end, but " + "; ".join(problems))
