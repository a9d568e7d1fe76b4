"""``xiaotong-collector try``: the whole product on this machine, with a sample school."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from collector.registry import RegistryError
from collector.trial.children import Child, Children
from collector.trial.sample import HOST, START_SECONDS, Sample, prepare
from collector.trial.screen import Screen, screen_for
from collector.trial.watch import NoAnswer, is_healthy, look
from config.cli import fail
from config.words import Language, language_of_environment, translate

LOOK_SECONDS = 1.0
CHILD_DIED = 1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command("try", help="Run a collector and an agent here, as a sample school, and watch its verdicts.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var"),
    show_default=True,
    help="Where settings, data and logs are kept; a second run goes on with them.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), envvar="PORT", show_envvar=True, default=8080, show_default=True,
    help="The page's port; also the environment's PORT.",
)  # fmt: skip
def command(directory: Path, port: int) -> None:
    """Run until Ctrl-C or SIGTERM. Status 2 for a port in use, 1 when a part dies."""
    language = language_of_environment(os.environ)
    try:
        sample = prepare(directory, port)
    except RegistryError as error:
        fail(str(error))
    stop = _stop_on_signals()
    with Children() as children:
        dead = _watched(children, sample, screen_for(Console(), sample.address, language), stop, language)
        if dead:
            _tell_of(dead)
            raise click.exceptions.Exit(CHILD_DIED)


def _watched(
    children: Children, sample: Sample, screen: Screen, stop: threading.Event, language: Language
) -> Child | None:
    """Run the parts until ``stop``; gives the one that died before."""
    with screen:
        screen.say(translate("Starting the collector…", language))
        _start(children, sample.collector_file, "serve", "--port", str(sample.port))
        if not _wait_for_health(sample, children, stop):
            return children.dead()
        screen.say(translate("Starting the agent: the first verdicts come in a moment…", language))
        _start(children, sample.agent_file, "run")
        while children.dead() is None and not stop.is_set():
            _show(sample, screen)
            stop.wait(LOOK_SECONDS)
        return None if stop.is_set() else children.dead()


def _show(sample: Sample, screen: Screen) -> None:
    """Show what is known; an answer that is late is asked for again."""
    try:
        seen = look(HOST, sample.port, sample.school_id, sample.plan)
    except NoAnswer:
        return
    screen.show(seen)


def _start(children: Children, config: Path, verb: str, *options: str) -> None:
    """Start the program whose settings these are: ``collector.yaml`` belongs to xiaotong-collector."""
    program = Path(sys.executable).with_name(f"xiaotong-{config.stem}")
    command_line = [str(program), verb, "--config", str(config), *options]
    children.start(config.stem, command_line, config.with_suffix(".log"))


def _wait_for_health(sample: Sample, children: Children, stop: threading.Event) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while children.dead() is None and not stop.is_set():
        if is_healthy(HOST, sample.port):
            return True
        if time.monotonic() > deadline:
            log = sample.collector_file.with_suffix(".log")
            fail(f"the collector does not answer at {sample.address}; its log is {log}")
        stop.wait(0.1)
    return False


def _tell_of(dead: Child) -> None:
    status, lines = dead.exit_status(), "\n".join(f"  {line}" for line in dead.last_lines())
    click.echo(f"error: the {dead.name} ended with status {status}; {dead.log_file} ends:\n{lines}", err=True)


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    handler: Callable[..., None] = lambda *_: stop.set()  # noqa: E731
    for number in SIGNALS:
        signal.signal(number, handler)
    return stop
