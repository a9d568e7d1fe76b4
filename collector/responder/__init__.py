"""The far end of capacity tests, and the tickets without which it serves nobody.

``open_far_end`` and ``ticket_routes`` belong into the collector's process; the responder itself runs in one
of its own (``ResponderProcess``), so that tests never hold up ingest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collector.responder.office import TicketOffice
    from collector.responder.opening import open_far_end
    from collector.responder.process import ResponderProcess
    from collector.responder.routes import ticket_routes
    from collector.responder.settings import ResponderSettings

__all__ = ["ResponderProcess", "ResponderSettings", "TicketOffice", "open_far_end", "ticket_routes"]

_HOME = {
    "ResponderProcess": "process",
    "ResponderSettings": "settings",
    "TicketOffice": "office",
    "open_far_end": "opening",
    "ticket_routes": "routes",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the responder's own process needs no web framework."""
    if name not in _HOME:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
