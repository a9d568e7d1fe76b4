"""``POST /api/v1/ipv6/tickets``: tickets for the far end of the ICMPv6 checks; and that far end's process."""

from __future__ import annotations

import logging
import select
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from collector.access import Permission, permitted
from collector.ingest.answers import Answer
from collector.ingest.credentials import identify
from collector.responder.icmpv6 import Start
from collector.responder.process import ResponderFailed
from collector.responder.routes import TicketRooms
from collector.responder.settings import ResponderSettings
from collector.responder.ticket import KEY_FILE, load_key
from config.far_end import PATH, Grant, make_ticket

READY_SECONDS = 15.0
STOP_SECONDS = 3.0

log = logging.getLogger(__name__)


class FarEndOffice:
    """Issues the tickets of the far end: where it is, and a key's word that somebody may ask it."""

    def __init__(self, settings: ResponderSettings, key: bytes, port: int) -> None:
        self._settings = settings
        self._key = key
        self._port = port

    def grant(self, host: str) -> Grant:
        """A ticket for whoever reached the collector as ``host``."""
        until = int(time.time() + self._settings.ticket_valid)
        where = self._settings.icmpv6_host or self._settings.host or host
        return Grant(where, self._port, make_ticket(self._key, until).hex())


def icmpv6_routes(rooms: TicketRooms, office: FarEndOffice | None) -> list[Route]:
    """The routes of this part."""

    async def issue(request: Request) -> Response:
        try:
            identify(request, rooms.registry)
        except Answer as answer:
            return answer.response()
        if office is None:
            return JSONResponse({"reason": "this collector has no far end for ICMPv6 checks"}, 409)
        grant = office.grant(request.url.hostname or "")
        return Response(msgspec.json.encode(grant), media_type="application/json")

    return [permitted(Permission.AGENT, Route(PATH, issue, methods=["POST"]))]


def open_icmpv6(settings: ResponderSettings | None, data: Path, stack: ExitStack) -> FarEndOffice | None:
    """Start the far end where it is switched on. Raises ResponderFailed or TicketError, one line."""
    if settings is None or not settings.icmpv6:
        return None
    key = load_key(data / KEY_FILE)
    child = subprocess.Popen(
        [sys.executable, "-m", "collector.responder.icmpv6"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,  # Ctrl-C reaches the parent alone
    )
    stack.callback(_stop, child)
    assert child.stdin is not None
    assert child.stdout is not None
    start = Start("::", settings.icmpv6_port, str(data))
    child.stdin.write(msgspec.json.encode(start) + b"\n")
    child.stdin.flush()
    ready = select.select([child.stdout], [], [], READY_SECONDS)[0]
    line = child.stdout.readline().decode("utf-8", "replace").strip() if ready else ""
    if not line.startswith("listening "):
        raise ResponderFailed(line.removeprefix("error: ") or "the far end of ICMPv6 checks did not start")
    log.info("far end of icmpv6 checks started pid=%d %s", child.pid, line)
    return FarEndOffice(settings, key, int(line.rpartition("=")[2]))


def _stop(child: subprocess.Popen[bytes]) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
