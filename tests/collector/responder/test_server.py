"""The responder under attack, over real sockets."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette

from agent.capacity import tcp, wire
from agent.probes.capacity import Capacity, Settings
from collector.commands import respond
from collector.registry import AgentIdentity
from collector.responder import ResponderProcess, ResponderSettings, TicketOffice, process, ticket_routes
from collector.responder.ledger import Ledger
from collector.responder.office import TicketRequest
from collector.responder.process import ResponderFailed
from collector.responder.ticket import KEY_FILE, Gate, holder_of, opened, sign
from config.school import Line, School
from config.units import BitsPerSecond, Seconds
from tests.agent.capacity.far_end import KEY, FarEnd, a_run, far_end, number
from tests.collector.running import Running, running, settings_in, wait_until

WANTED = TicketRequest(direction="down", family="ipv4", mode="search", holder=holder_of("secret"))
SMALL = Settings(families=("ipv4",), directions=("down",), mode="verify", rate=BitsPerSecond(10_000_000))


RANDOM = random.Random(20261130)
HOSTILE = (
    b'{"type":"\xff"}\n',
    b'{"a":' + b"[" * 1900 + b"\n",
    *(RANDOM.randbytes(RANDOM.randrange(1, 2000)) + b"\n" for _ in range(40)),
    *(b'{"type":"hello","ticket":"' + RANDOM.randbytes(60) + b'"}\n' for _ in range(40)),
)


@pytest.fixture
def served() -> Iterator[FarEnd]:
    with far_end(verify=Seconds(0.5), handshake=Seconds(2.0), max_pending=100) as running:
        yield running


def connected(served: FarEnd) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), timeout=5)


def answer_to(served: FarEnd, sent: bytes) -> bytes:
    """All that comes back for these bytes, until the responder closes."""
    with connected(served) as sock:
        sock.sendall(sent)
        received = b""
        try:
            while part := sock.recv(4096):
                received += part
        except ConnectionResetError:
            pass
        return received


def hello(served: FarEnd, secret: str = "secret") -> bytes:
    ticket = served.office.issue("a1", "s1", WANTED, "h").ticket
    return wire.line_of(wire.Hello(wire.VERSION, ticket, secret, 1))


def is_served(served: FarEnd) -> bool:
    """A good client, now."""
    with connected(served) as sock:
        sock.sendall(hello(served))
        return b'"welcome"' in sock.recv(4096)


def test_a_replayed_ticket_is_refused_while_the_first_is_served(served: FarEnd) -> None:
    line = hello(served)
    with connected(served) as first:
        first.sendall(line)
        assert b'"welcome"' in first.recv(4096)
        assert b"ticket used before" in answer_to(served, line)


@pytest.mark.fault(23)
def test_expired_foreign_and_forged_tickets_are_refused_over_the_wire(served: FarEnd) -> None:
    key, now = KEY, time.time()
    good = opened(served.office.issue("a1", "s1", WANTED, "h").ticket, key)
    cases = [
        (msgspec.structs.replace(good, issued=now - 1, until=now - 60), key, b"ticket expired"),
        (msgspec.structs.replace(good, responder="other"), key, b"ticket for another responder"),
        (msgspec.structs.replace(good, family="ipv6"), key, b"ticket for ipv6"),
        (good, b"x" * 32, b"ticket not signed here"),
    ]
    for ticket, signed_by, reason in cases:
        line = wire.line_of(wire.Hello(wire.VERSION, sign(ticket, signed_by), "secret", 1))
        assert reason in answer_to(served, line)
    (point,) = Capacity(SMALL, served.site()).measure(a_run())
    assert point.fields["stop_reason"] == "time"


@pytest.mark.fault(23)
def test_clients_cut_in_the_handshake_leave_nothing_behind(served: FarEnd) -> None:
    whole = hello(served)
    for length in (1, len(whole) // 2, len(whole) - 1):
        with connected(served) as sock:
            sock.sendall(whole[:length])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with connected(served) as sock:
        sock.sendall(whole)
        assert b'"welcome"' in sock.recv(4096)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    (point,) = Capacity(SMALL, served.site()).measure(a_run())
    assert point.fields["stop_reason"] == "time"
    wait_until(lambda: served.responder.tests == 0)


def test_a_ticket_of_another_agent_is_refused(served: FarEnd) -> None:
    assert b"ticket of another agent" in answer_to(served, hello(served, secret="stolen"))


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 50 + b"\n",
        b"{}\n",
        b'{"type":"go"}\n',
        b'{"type":"attach","session":"0123456789abcdef"}\n',
        b'{"type":"hello","version":9,"ticket":"x","secret":"x","streams":1}\n',
        b'{"type":"hello","version":1,"ticket":"x","secret":"x","streams":1}\n',
        b"x" * 5000,
    ],
)
def test_a_refusal_is_never_longer_than_what_came_in(served: FarEnd, sent: bytes) -> None:
    assert len(answer_to(served, sent)) <= len(sent)
    assert served.responder.tests == 0


@pytest.mark.fault(23)
def test_no_line_without_a_ticket_stops_the_responder(served: FarEnd) -> None:
    for sent in HOSTILE:
        assert len(answer_to(served, sent)) <= len(sent)
    assert is_served(served)


@pytest.mark.fault(23)
def test_a_ticket_whose_holder_is_no_digest_is_refused_alone(served: FarEnd) -> None:
    good = opened(served.office.issue("a1", "s1", WANTED, "h").ticket, KEY)
    ticket = sign(msgspec.structs.replace(good, holder="é" * 64), KEY)
    line = wire.line_of(wire.Hello(wire.VERSION, ticket, "secret", 1))
    assert b"ticket of another agent" in answer_to(served, line)
    assert is_served(served)


@pytest.mark.fault(23)
@pytest.mark.parametrize("sent", HOSTILE[:2])
def test_a_test_whose_agent_says_nonsense_ends_alone(served: FarEnd, sent: bytes) -> None:
    with connected(served) as sock:
        sock.sendall(hello(served) + sent)
        assert b'"welcome"' in sock.recv(4096)
        wait_until(lambda: served.responder.tests == 0)
    assert is_served(served)


def test_an_algorithm_that_no_kernel_has_ends_its_test_alone(served: FarEnd) -> None:
    ticket = served.office.issue("a1", "s1", WANTED, "h").ticket
    with connected(served) as control, connected(served) as stream:
        control.sendall(wire.line_of(wire.Hello(wire.VERSION, ticket, "secret", 1, "é")))
        welcome = msgspec.json.decode(control.recv(4096))
        stream.sendall(wire.line_of(wire.Attach(welcome["session"])))
        control.sendall(wire.line_of(wire.Go()))
        assert control.recv(4096) == b""
    assert is_served(served)


def test_an_error_that_nobody_thought_of_costs_its_connection_and_one_line(
    served: FarEnd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("nobody thought of it")

    with monkeypatch.context() as patched:
        patched.setattr(Gate, "admit", broken)
        assert answer_to(served, hello(served)) == b""
    assert is_served(served)
    (line,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert line == "responder gives a connection up error=ZeroDivisionError('nobody thought of it')"


@pytest.mark.parametrize(
    ("error", "answer"), [(RuntimeError("can't start new thread"), b"busy"), (MemoryError(), b"")]
)
def test_a_test_for_which_the_system_has_no_thread_leaves_its_place_to_the_next(
    monkeypatch: pytest.MonkeyPatch, error: Exception, answer: bytes
) -> None:
    def none_left(_: threading.Thread) -> None:
        raise error

    with far_end(max_tests=1) as served:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", none_left)
            refused = answer_to(served, hello(served))
            assert (answer in refused, bool(refused)) == (True, bool(answer))
        assert is_served(served)


def test_nothing_is_sent_to_a_client_that_says_nothing(served: FarEnd) -> None:
    assert answer_to(served, b"") == b""
    assert answer_to(served, hello(served)[:-20]) == b""


@pytest.mark.fault(23)
def test_half_open_clients_and_stalled_tests_hold_up_nobody(served: FarEnd) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(connected(served)) for _ in range(500)]
        for index, sock in enumerate(idle):
            sock.sendall(b"{"[: index % 2])
        stalled = stack.enter_context(connected(served))
        stalled.sendall(hello(served))
        assert b'"welcome"' in stalled.recv(4096)
        (point,) = Capacity(SMALL, served.site()).measure(a_run())
        assert point.fields["stop_reason"] == "time"
        assert number(point, "ip_bits_per_second") > 5_000_000
        dropped = 0
        for sock in idle:
            try:
                dropped += sock.recv(1) == b""
            except ConnectionResetError:
                dropped += 1
        assert dropped == 500


def test_more_tests_than_allowed_are_refused() -> None:
    with far_end(max_tests=1) as served, connected(served) as first:
        first.sendall(hello(served))
        assert b'"welcome"' in first.recv(4096)
        assert b"busy" in answer_to(served, hello(served))


def test_a_responder_of_its_own_serves_and_ends_with_its_parent(tmp_path: Path) -> None:
    settings = ResponderSettings(listen=("127.0.0.1",), port=0)
    own = ResponderProcess(settings, tmp_path)
    port = own.start()
    try:
        assert own.listening
        taken = ResponderProcess(ResponderSettings(listen=("127.0.0.1",), port=port), tmp_path)
        with pytest.raises(ResponderFailed, match=f"port {port}.*responder.port"):
            taken.start()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(b'{"type":"attach","session":"0123456789abcdef"}\n')
            assert b"no such session" in sock.recv(4096)
    finally:
        own.stop()
    assert not own.listening


def test_nothing_that_an_agent_says_is_taken_for_a_report(tmp_path: Path, served: FarEnd) -> None:
    """A line that an error quotes would count another test of its school as nothing."""
    (tmp_path / KEY_FILE).write_bytes(KEY)
    (tmp_path / KEY_FILE).chmod(0o600)
    reported: list[tuple[str, int | None]] = []
    settings = ResponderSettings(listen=("127.0.0.1",), port=0)
    own = ResponderProcess(settings, tmp_path, lambda *report: reported.append(report))
    forged = "f" * 32
    with socket.create_connection(("127.0.0.1", own.start()), timeout=5) as sock:
        sock.sendall(hello(served))
        assert b'"welcome"' in sock.recv(4096)
        sock.sendall(b'{"type":"\\ntest %s moved 0\\n"}\n' % forged.encode())
        while sock.recv(4096):
            pass
    own.stop()
    assert reported
    assert forged not in [test for test, _ in reported]


def killed_responder() -> int:
    """Kills the one that this process runs; the port on which it listened."""
    (found,) = [each for each in psutil.Process().children() if "respond" in each.cmdline()]
    (port,) = [each.laddr.port for each in found.net_connections("tcp") if each.status == "LISTEN"]
    os.kill(found.pid, signal.SIGKILL)
    return int(port)


def asked(collector: Running) -> Any:
    """What the collector answers to an agent that wants a test now."""
    body = msgspec.json.encode(msgspec.structs.replace(WANTED, now=True, force=True))
    return collector.request("POST", "/api/v1/tickets", body)


@pytest.mark.fault(23)
def test_a_responder_that_was_killed_is_started_again_and_no_ticket_is_given_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "FIRST_PAUSE_SECONDS", 0.5)
    with running(settings_in(tmp_path, responder={"listen": ["127.0.0.1"], "port": 0})) as collector:
        responder = collector.rooms.responder
        assert responder is not None
        port = killed_responder()
        wait_until(lambda: not responder.listening)
        with socket.create_server(("127.0.0.1", port)):  # so that it cannot start at once
            wait_until(lambda: "does not start again" in caplog.text)
            answer = asked(collector)
            reason = "the responder is not listening; it is being started again"
            assert (answer.status, answer.json) == (503, {"reason": reason})
            assert answer.headers["retry-after"] == "10"
            assert b"\nxiaotong_responder_listening 0.0\n" in collector.request("GET", "/metrics").body
        wait_until(lambda: responder.listening)
        assert b"\nxiaotong_responder_listening 1.0\n" in collector.request("GET", "/metrics").body
        grant = asked(collector).json
        assert grant["responder"]["port"] == port
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(wire.line_of(wire.Hello(wire.VERSION, grant["ticket"], "secret", 1)))
            assert b'"welcome"' in sock.recv(4096)
    assert [line for line in caplog.messages if line.startswith("responder ended")] == [
        "responder ended status=-9; it gets no tickets until it listens again"
    ]


def test_a_line_that_leads_elsewhere_is_tested_while_the_collectors_own_responder_is_away(
    tmp_path: Path,
) -> None:
    others, slots = [{"id": "edu", "host": "192.0.2.1"}], {"in_lessons": True}
    own = {"listen": ["127.0.0.1"], "port": 0, "others": others, "slots": slots}
    due = msgspec.json.encode(TicketRequest("due", WANTED.holder, lines=("l1", "l2"), families=("ipv4",)))
    with running(settings_in(tmp_path, responder=own)) as collector:
        lines = (Line(id="l1"), Line(id="l2", responders=("edu",)))
        collector.rooms.registry.put_schools([School("s1", lines=lines)])
        responder = collector.rooms.responder
        assert responder is not None
        killed_responder()
        wait_until(lambda: not responder.listening)
        ledger, now = Ledger(collector.rooms.registry), datetime.now(UTC)
        ledger.order("s1", "l2", now, forced=True, tests=1)
        ledger.order("s1", "l1", now, forced=True, tests=1)
        there = collector.request("POST", "/api/v1/tickets", due)
        assert (there.status, there.json["responder"]["id"]) == (200, "edu")
        here = collector.request("POST", "/api/v1/tickets", due)
        assert (here.status, "is not listening" in here.json["reason"]) == (503, True)


def test_a_kernel_that_counts_too_little_stops_no_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tcp, "_COUNTS_WAITING", 10_000)
    reason = (
        "the responder cannot serve: this kernel counts too little of a connection; Linux 4.13 and newer do"
    )
    with running(settings_in(tmp_path, responder={"listen": ["127.0.0.1"], "port": 0})) as collector:
        assert (asked(collector).status, asked(collector).json) == (409, {"reason": reason})
        assert b"\nxiaotong_responder_listening 0.0\n" in collector.request("GET", "/metrics").body
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == [reason]


def test_a_responder_alone_says_that_its_kernel_counts_too_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "_COUNTS_WAITING", 10_000)
    done = CliRunner().invoke(respond.command, ["--data-directory", str(tmp_path)])
    said = "error: this kernel counts too little of a connection; Linux 4.13 and newer do\n"
    assert (done.exit_code, done.stderr) == (2, said)


def test_a_responder_that_was_killed_can_be_stopped(tmp_path: Path) -> None:
    killed = ResponderProcess(ResponderSettings(listen=("127.0.0.1",), port=0), tmp_path)
    killed.start()
    killed_responder()
    wait_until(lambda: not killed.listening)
    killed.stop()
    assert not psutil.Process().children()


class Rooms:
    """One agent, one office."""

    def __init__(self) -> None:
        self.registry = self
        self.tickets: TicketOffice | None = TicketOffice(ResponderSettings(tickets_per_hour=1), KEY)

    def agent_by_token(self, token: str) -> AgentIdentity | None:
        return AgentIdentity("a1", "s1") if token == "t" * 43 else None


def posted(app: Starlette, body: bytes, token: str = "") -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body that the application answers, by ASGI itself."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"county.example:8080"), (b"authorization", f"Token {token}".encode())]
    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/tickets", "headers": headers,
        "query_string": b"", "scheme": "http", "server": ("127.0.0.1", 8080),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(each.get("body", b"") for each in sent)


def test_the_route_gives_tickets_to_agents_alone() -> None:
    app = Starlette(routes=ticket_routes(Rooms()))
    good = "t" * 43
    body = msgspec.json.encode(WANTED)
    assert posted(app, body)[0] == 401
    assert posted(app, body, "x")[0] == 401
    assert posted(app, b'{"direction": "x"}', good)[0] == 400
    assert posted(app, b"x" * 5000, good)[0] == 413
    status, _, grant = posted(app, body, good)
    assert status == 200
    address = {"id": "county", "host": "county.example", "port": 8081}
    assert msgspec.json.decode(grant)["responder"] == address
    status, headers, _ = posted(app, body, good)
    assert status == 429
    assert int(headers[b"retry-after"]) > 3500
