"""``xiaotong-agent run``: measure and push until told to stop."""

from __future__ import annotations

import faulthandler
import queue
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from config.watchdog import Watchdog

STATES = {signal.SIGTERM: "stopping", signal.SIGINT: "stopping", signal.SIGHUP: "restarting"}


@click.command()
@click.option(
    "--config", "file", required=True, type=click.Path(path_type=Path), help="The agent's settings."
)
def command(file: Path) -> None:
    """Measure, spool and push until SIGTERM or SIGINT; SIGHUP stops as well and announces a restart.

    Another version runs instead where the county's store gave one.
    """
    from agent.launcher import excuse, launch  # noqa: PLC0415

    launch(file, ["run", "--config", str(file)])
    from agent.logs import set_up  # noqa: PLC0415
    from agent.service import Service  # noqa: PLC0415
    from agent.settings import load_settings  # noqa: PLC0415
    from config.settings import SettingsError  # noqa: PLC0415
    from config.watchdog import READY, STOPPING, Watchdog, notify, watchdog_seconds  # noqa: PLC0415

    try:
        loaded = load_settings(file)
        set_up(loaded.settings.log)
        service = Service(loaded)
    except SettingsError:
        excuse(file)
        raise
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in STATES:
        signal.signal(number, lambda received, _frame: signals.put(received))
    watchdog = Watchdog(service.promises, watchdog_seconds())
    service.start()
    notify(READY)
    received = _awaited(signals, watchdog)
    notify(STOPPING)
    service.stop("restarting" if STATES[signal.Signals(received)] == "restarting" else "stopping")
    threading.stack_size(0)


def _awaited(signals: queue.SimpleQueue[int], watchdog: Watchdog) -> int:
    """The signal that ends the agent; until it comes the service manager hears that the agent lives."""
    if watchdog.every_seconds is not None:
        faulthandler.enable()  # where every thread hangs, when systemd aborts us
    while True:
        try:
            return signals.get(timeout=watchdog.every_seconds)
        except queue.Empty:
            watchdog.feed()
