"""Opening this room in a collector: the responder's process, and the office that issues its tickets."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import msgspec

from collector.responder.office import TicketOffice, open_office
from collector.responder.process import ResponderProcess
from collector.responder.settings import ResponderSettings


def open_far_end(
    settings: ResponderSettings | None, data_directory: Path, stack: ExitStack
) -> TicketOffice | None:
    """Start the responder (unless ``enabled: false``: then another machine runs it) and open the office.

    None without settings. Raises TicketError or ResponderFailed, one line each.
    """
    if settings is None:
        return None
    office_settings = settings
    if settings.enabled:
        process = ResponderProcess(settings, data_directory)
        stack.callback(process.stop)
        office_settings = msgspec.structs.replace(settings, port=process.start())
    return open_office(office_settings, data_directory)
