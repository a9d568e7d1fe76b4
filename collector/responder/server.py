"""The responder: accepts, waits a bounded while for the first line, and hands tests to threads of their own.

Connections that have said nothing yet live in one selector loop, bounded in number, bytes and time, and cost
no thread: a half-open client blocks nobody. Nothing is sent before the first line has come, and a refusal is
sent only when it is no longer than what came in.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from agent.capacity import tcp, wire
from collector.responder.session import Session
from collector.responder.settings import ResponderSettings
from collector.responder.syn import answer_sparingly, take_all
from collector.responder.ticket import Gate, Ticket, TicketError
from config.plain_json import decoded

log = logging.getLogger(__name__)


class _Pending(msgspec.Struct, eq=False):
    """A connection whose first line has not come yet."""

    sock: socket.socket
    address: str
    deadline: float
    received: bytes = b""


class Responder:
    """The far end of capacity tests on the given listening sockets. ``start()`` and ``stop()`` it once."""

    def __init__(
        self,
        settings: ResponderSettings,
        key: bytes,
        listeners: Sequence[socket.socket],
        report: Callable[[str, int | None], None] = lambda _test_id, _moved_bytes: None,
    ) -> None:
        """``report`` hears the id of each test when it is admitted, and again with its bytes when over."""
        self._settings = settings
        self._report = report
        self._gate = Gate(key, settings.id, time.time())
        self._selector = selectors.DefaultSelector()
        self._pending: dict[socket.socket, _Pending] = {}
        self._sessions: dict[str, Session] = {}
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._wake, waker = socket.socketpair()
        self._waker = waker
        self._listeners = tuple(listeners)
        self._acceptor = threading.Thread(target=self._accept_forever, name="responder", daemon=True)
        self._stopping = False

    def start(self) -> None:
        """Begin to serve, in threads."""
        for listener in self._listeners:
            answer_sparingly(listener)
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake, selectors.EVENT_READ, self._awoken)
        self._acceptor.start()

    def stop(self) -> None:
        """End all tests and free every socket."""
        self._stopping = True
        self._waker.send(b"\0")
        self._acceptor.join()
        with self._lock:
            sessions, threads = list(self._sessions.values()), list(self._threads)
        for session in sessions:
            session.abort()
        for thread in threads:
            thread.join()
        for sock in (*self._pending, *self._listeners, self._wake, self._waker):
            sock.close()
        self._selector.close()

    @property
    def tests(self) -> int:
        """Tests that run now."""
        with self._lock:
            return len(self._sessions)

    def _accept_forever(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(self._next_deadline()):
                key.data(key.fileobj)
            self._drop_late()

    @contextlib.contextmanager
    def _at_its_own_cost(self, sock: socket.socket) -> Iterator[None]:
        """Whatever goes wrong at a connection ends that one alone: all others wait for the same thread."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            log.warning("responder gives a connection up error=%r", error)
            if sock in self._pending:
                self._release(self._pending[sock])
            sock.close()

    def _next_deadline(self) -> float | None:
        """Seconds until the oldest waiting connection is too late; they wait in the order they came."""
        oldest = next(iter(self._pending.values()), None)
        return max(0.0, oldest.deadline - time.monotonic()) if oldest else None

    def _awoken(self, wake: socket.socket) -> None:
        wake.recv(1)

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("responder cannot accept error=%s", error)
            time.sleep(0.05)  # no descriptors left: the loop would spin on the same readable listener
            return
        with self._at_its_own_cost(sock):
            self._await_line(sock, str(address[0]))

    def _await_line(self, sock: socket.socket, address: str) -> None:
        if len(self._pending) >= self._settings.max_pending:
            self._evict()
        take_all(sock)
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, self._read)
        self._pending[sock] = _Pending(sock, address, time.monotonic() + self._settings.handshake)

    def _evict(self) -> None:
        """Drop the oldest connection of the address that has most of them: the one that floods pays first."""
        worst, _ = Counter(pending.address for pending in self._pending.values()).most_common(1)[0]
        self._drop(next(pending for pending in self._pending.values() if pending.address == worst))

    def _drop_late(self) -> None:
        now = time.monotonic()
        late = [pending for pending in self._pending.values() if pending.deadline <= now]
        for pending in late:
            with self._at_its_own_cost(pending.sock):
                self._drop(pending)

    def _drop(self, pending: _Pending) -> None:
        self._release(pending)
        pending.sock.close()

    def _release(self, pending: _Pending) -> None:
        del self._pending[pending.sock]
        self._selector.unregister(pending.sock)

    def _read(self, sock: socket.socket) -> None:
        pending = self._pending.get(sock)
        if pending is None:  # dropped for another's sake since this round of events began
            return
        with self._at_its_own_cost(sock):
            self._hear(pending)

    def _hear(self, pending: _Pending) -> None:
        try:
            received = pending.sock.recv(wire.MAX_LINE_BYTES + 1 - len(pending.received))
        except BlockingIOError:
            return
        except OSError:
            received = b""
        pending.received += received
        if b"\n" in pending.received:
            self._release(pending)
            self._begin(pending)
        elif len(pending.received) > wire.MAX_LINE_BYTES:
            self._release(pending)
            self._refuse(pending, "line too long")
        elif not received:
            self._drop(pending)

    def _begin(self, pending: _Pending) -> None:
        line, _, rest = pending.received.partition(b"\n")
        pending.sock.setblocking(True)
        try:
            self._admit(pending.sock, decoded(line, wire.FROM_AGENT), rest)
        except msgspec.DecodeError:
            self._refuse(pending, "not understood")
        except (TicketError, OSError) as error:
            self._refuse(pending, str(error))

    def _admit(self, sock: socket.socket, message: wire.AgentMessage, rest: bytes) -> None:
        match message:
            case wire.Hello():
                self._open(sock, message, rest)
            case wire.Attach():
                self._attach(sock, message)
            case _:
                raise TicketError("hello expected")

    def _open(self, control: socket.socket, hello: wire.Hello, rest: bytes) -> None:
        ticket = self._admitted(control, hello)
        session = Session(control, hello, ticket, rest, self._settings.slots.county_line)
        thread = threading.Thread(
            target=self._serve, args=(session,), name=f"test {ticket.agent}", daemon=True
        )
        self._report(ticket.nonce, None)
        with self._lock:
            self._sessions[session.id] = session
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:  # the system has no more
            self._over(session, thread)
            raise TicketError("busy") from None
        except BaseException:
            self._over(session, thread)
            raise

    def _admitted(self, control: socket.socket, hello: wire.Hello) -> Ticket:
        if hello.version != wire.VERSION:
            raise TicketError(f"version {wire.VERSION} expected")
        if self.tests >= self._settings.max_tests:
            raise TicketError("busy")
        return self._gate.admit(hello.ticket, hello.secret, _family_of(control), time.time())

    def _serve(self, session: Session) -> None:
        try:
            session.run()
        finally:
            self._over(session, threading.current_thread())

    def _over(self, session: Session, thread: threading.Thread) -> None:
        with self._lock:
            self._sessions.pop(session.id, None)
            self._threads.discard(thread)
        self._report(session.ticket.nonce, session.moved_bytes)

    def _attach(self, sock: socket.socket, message: wire.Attach) -> None:
        with self._lock:
            session = self._sessions.get(message.session)
        if session is None or not session.attach(sock):
            raise TicketError("no such session")

    def _refuse(self, pending: _Pending, reason: str) -> None:
        answer = wire.line_of(wire.Refused(reason))
        log.info("responder refuses address=%s reason=%s", pending.address, reason)
        with contextlib.suppress(OSError):
            pending.sock.setblocking(False)
            if len(answer) <= len(pending.received):
                pending.sock.send(answer)
                pending.sock.shutdown(socket.SHUT_WR)
        pending.sock.close()


class KernelTooOld(Exception):
    """This host's kernel cannot serve a test; the text is the one line of why."""


def _family_of(sock: socket.socket) -> str:
    return next(name for name, family in wire.SOCKET_FAMILY.items() if sock.family == family)


def listening(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Listening sockets on each address, its own family only. Port 0 takes any, the same for all.

    Raises OSError, whose text names address and port, and KernelTooOld.
    """
    socks: list[socket.socket] = []
    try:
        for address in addresses:
            chosen = socks[0].getsockname()[1] if socks else port
            socks.append(_listening(address, chosen))
    except tcp.TooOldError as error:  # no other address or port would do
        raise KernelTooOld(str(error.strerror)) from None
    except OSError as error:
        for sock in socks:
            sock.close()
        raise OSError(error.errno, f"cannot listen on {address} port {chosen}: {error.strerror}") from None
    return socks


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        tcp.tcp_info(sock)  # a kernel that counts too little is told now and not at every test
        sock.bind((address, port))
        sock.listen(1024)
    except OSError:
        sock.close()
        raise
    return sock
