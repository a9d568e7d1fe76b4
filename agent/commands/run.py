"""``xiaotong-agent run``: measure and push until told to stop."""

from __future__ import annotations

import queue
import signal
import threading
from pathlib import Path

import click

STATES = {signal.SIGTERM: "stopping", signal.SIGINT: "stopping", signal.SIGHUP: "restarting"}


@click.command()
@click.option(
    "--config", "file", required=True, type=click.Path(path_type=Path), help="The agent's settings."
)
def command(file: Path) -> None:
    """Measure, spool and push until SIGTERM or SIGINT; SIGHUP stops as well and announces a restart."""
    from agent.logs import set_up  # noqa: PLC0415
    from agent.service import Service  # noqa: PLC0415
    from agent.settings import load_settings  # noqa: PLC0415

    loaded = load_settings(file)
    set_up(loaded.settings.log)
    service = Service(loaded)
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in STATES:
        signal.signal(number, lambda received, _frame: signals.put(received))
    service.start()
    received = signals.get()
    service.stop("restarting" if STATES[signal.Signals(received)] == "restarting" else "stopping")
    threading.stack_size(0)
