"""Serves the collector on one port until it is told to stop."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import logging
import os
import signal
import socket
import ssl
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.lifespan.on import LifespanOn

from collector.connections import Connections, bounded_protocol
from collector.enrolment.settings import TlsSettings
from collector.registry.database import RegistryError
from collector.responder.ticket import TicketError
from collector.settings import Listen
from collector.store.interface import StoreUnavailable
from config.settings import SettingsError

log = logging.getLogger(__name__)

GRACE_SECONDS = 2
"""For the requests that run when the collector is told to stop; with the closing of the rooms under 5 s."""
STOP_SECONDS = 25.0
"""After this the process ends whatever still runs, before systemd would kill it: what was acknowledged is in
the journal.
"""
BACKLOG = 1024
SWITCH_SECONDS = 0.001
"""How long a thread that judges may keep the interpreter from the loop that answers. Each request takes it
several times: with Python's 5 ms ten thousand agents waited for seconds.
"""
GC_THRESHOLD = (100_000, 50, 50)
"""Points are many small lists without cycles: looking for cycles at the usual pace doubles their cost."""


def listen(settings: Listen) -> socket.socket:
    """Bind the port. Raises SettingsError, one line that names the port and the settings."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((settings.host, settings.port))
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        raise SettingsError(
            f"port {settings.port} on {settings.host} cannot be used: {error.strerror}; "
            "set another in PORT or in listen.port"
        ) from None
    server.set_inheritable(False)
    return server


CANNOT_OPEN = (OSError, RegistryError, SettingsError, StoreUnavailable, TicketError)
"""What a room says, in one line, that cannot be opened here; anything else is a bug and keeps its trace."""


class Lifespan(LifespanOn):
    """uvicorn's, which tells why a room cannot be opened without a traceback before it."""

    async def send(self, message: Any) -> None:
        error = sys.exception()
        if message["type"] == "lifespan.startup.failed" and isinstance(error, CANNOT_OPEN):
            message = {"type": message["type"], "message": str(error)}
        await super().send(message)


class Server(uvicorn.Server):
    """uvicorn's, which first ends what would never end by itself: streams of events to open pages."""

    on_stop: Callable[[], None] | None = None
    """Called when it begins to stop."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.on_stop is not None:
            self.on_stop()
        app = self.config.app
        for end in getattr(app.state, "before_shutdown", ()) if isinstance(app, Starlette) else ():
            end()
        await super().shutdown(sockets)


def make_server(app: Starlette, limits: Listen) -> Server:
    """A server for ``app``; run it with the socket from ``listen``."""
    config = uvicorn.Config(
        app,
        http=bounded_protocol(Connections(limits)),
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # 1.x clients put the token into the query
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=75,
        backlog=BACKLOG,
        ssl_certfile=limits.tls.certificate if limits.tls else None,
        ssl_keyfile=limits.tls.key if limits.tls else None,
    )
    config.load()
    config.lifespan_class = Lifespan
    return Server(config)


def check_tls(tls: TlsSettings | None) -> None:
    """Raises SettingsError, one line, for a certificate or key that cannot be served with."""
    if tls is None:
        return
    for key, file in (("certificate", tls.certificate), ("key", tls.key)):
        try:
            readable_by_others = Path(file).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        except OSError as error:
            raise SettingsError(f"key listen.tls.{key}: {file}: {error.strerror}") from None
        if key == "key" and readable_by_others:
            raise SettingsError(f"key listen.tls.key: {file}: others may read it; allowed is mode 0600")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        files = f"{tls.certificate} and {tls.key}"
        why = error.strerror or error
        raise SettingsError(f"key listen.tls: {files} cannot be served with: {why}") from None


def serve(app: Starlette, limits: Listen, server_socket: socket.socket) -> bool:
    """Serve until SIGTERM or SIGINT. False when the application could not start."""
    server = make_server(app, limits)
    server.on_stop = _end_in_time
    gc.set_threshold(*GC_THRESHOLD)
    sys.setswitchinterval(SWITCH_SECONDS)
    with _signals_end(server), contextlib.suppress(SystemExit):  # uvicorn leaves so when start-up fails
        server.run(sockets=[server_socket])
    return server.started


def _end_in_time() -> None:
    """A room that does not close, on a disk or a database that does not answer, holds nobody up for ever."""
    timer = threading.Timer(STOP_SECONDS, _give_up)
    timer.daemon = True
    timer.start()


def _give_up() -> None:
    log.error(
        "not ended within seconds=%g; what is acknowledged is in the journal; where it hangs:", STOP_SECONDS
    )
    faulthandler.dump_traceback(all_threads=True)
    os._exit(1)


@contextlib.contextmanager
def _signals_end(server: Server) -> Iterator[None]:
    """Until uvicorn takes the signals itself they end the server too. The one that stopped it is raised again
    for the handler before its own: by then that changes nothing.
    """

    def end(*_: object) -> None:
        server.should_exit = True

    before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
