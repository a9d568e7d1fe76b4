"""``xiaotong-collector respond``: the far end of capacity tests alone, on any machine that has the key."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from pathlib import Path

import click

from collector.responder.server import KernelTooOld, Responder, listening
from collector.responder.settings import ResponderSettings, received
from collector.responder.ticket import KEY_FILE, TicketError, load_key
from config.cli import fail
from config.settings import load


class OneLine(logging.Formatter):
    """A record is a line, whatever the other end said: a line of its own could be taken for a report."""

    def format(self, record: logging.LogRecord) -> str:
        """See Formatter."""
        return super().format(record).replace("\n", "\\n")


@click.command()
@click.option(
    "--data-directory",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help=f"Where {KEY_FILE} is: copy it from the collector's data directory (mode 0600).",
)
@click.option(
    "--config",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings of the responder alone (YAML).",
)
@click.option("--settings-from-stdin", is_flag=True, hidden=True)
def command(data_directory: Path, file: Path | None, settings_from_stdin: bool) -> None:
    """Serve capacity tests to whoever shows a one-use ticket of the collector."""
    _log_to_standard_error()
    settings = _settings(file, settings_from_stdin)
    report = (_told_to_parent,) if settings_from_stdin else ()
    try:
        listeners = listening(settings.listen, settings.port)
        responder = Responder(settings, load_key(data_directory / KEY_FILE), listeners, *report)
    except (KernelTooOld, TicketError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.strerror}; set another with the key responder.port")
    ended = _ended_by_signal()
    click.echo(f"listening id={settings.id} port={listeners[0].getsockname()[1]}")
    responder.start()
    if settings_from_stdin:
        threading.Thread(target=_end_with_parent, args=(ended,), daemon=True).start()
    ended.wait()
    responder.stop()


def _log_to_standard_error() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("level=%(levelname)s logger=%(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _settings(file: Path | None, from_stdin: bool) -> ResponderSettings:
    if from_stdin:
        return received(sys.stdin.buffer.readline())
    return load(file, ResponderSettings) if file else ResponderSettings()


def _told_to_parent(test_id: str, moved_bytes: int | None) -> None:
    with contextlib.suppress(OSError):  # a parent that is gone needs no report
        click.echo(f"test {test_id} " + ("begins" if moved_bytes is None else f"moved {moved_bytes}"))


def _ended_by_signal() -> threading.Event:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    return ended


def _end_with_parent(ended: threading.Event) -> None:
    sys.stdin.buffer.read()
    ended.set()
