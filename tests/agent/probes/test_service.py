"""The service probe against real local servers: every phase, both families, what is expected."""

from __future__ import annotations

import http.server
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.network.services import dns_answer, dns_query
from agent.probe import NoData, Run, Site
from agent.probes.service import Service, Settings, build
from config.clock import SystemClock
from config.measurements import check
from config.points import Point
from config.school import School
from config.settings import SettingsError, convert
from config.units import Bytes, Seconds

BODY = b"welcome to the platform"


class Page(http.server.BaseHTTPRequestHandler):
    """Serves a page, a missing one and a chunked one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/missing" else 200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (BODY[:7], BODY[7:]):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: Any) -> None:
        pass


class Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


@contextmanager
def web(host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Iterator[int]:
    made = Server6 if ":" in host else http.server.ThreadingHTTPServer
    with made((host, 0), Page) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(5)


def measured(*services: Service, timeout: float = 3.0, body: int = 4096) -> dict[tuple[str, str], Point]:
    settings = Settings(services=services, timeout=Seconds(timeout), body=Bytes(body))
    run = Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=20, window_seconds=0)
    points = list(build(settings, Site(school=School(id="s"))).measure(run))
    for point in points:
        check(point)
    return {(point.tags["service"], point.tags["family"]): point for point in points}


def one(service: Service, **options: Any) -> dict[str, Any]:
    (point,) = measured(service, **options).values()
    return dict(point.fields)


def page(port: int, path: str = "/", scheme: str = "http", **about: Any) -> Service:
    return Service(name="page", url=f"{scheme}://127.0.0.1:{port}{path}", family="ipv4", **about)


@pytest.mark.parametrize("path", ["/", "/chunked"])
def test_a_page_with_its_phases(path: str) -> None:
    with web() as port:
        found = one(page(port, path, body_contains="platform"))
    assert found["success"] is True
    assert (found["status"], found["body_bytes"], found["address"]) == (200, len(BODY), "127.0.0.1")
    phases = [found[f"{phase}_seconds"] for phase in ("connect", "first_byte", "transfer")]
    assert sum(phases) <= found["total_seconds"]
    assert not {"name_seconds", "tls_seconds", "error", "failed_phase"} & found.keys()


@pytest.mark.parametrize(
    ("path", "about", "error"),
    [
        ("/missing", {}, "status is 404"),
        ("/", {"status": (204,)}, "status is 200"),
        ("/", {"body_contains": "absent"}, "the body does not hold"),
        ("/", {"within": Seconds(0.0)}, "took longer"),
    ],
)
def test_what_is_not_as_expected(path: str, about: dict[str, Any], error: str) -> None:
    with web() as port:
        found = one(page(port, path, **about))
    assert (found["success"], found["failed_phase"]) == (False, "expectation")
    assert error in found["error"]
    assert found["body_bytes"] == len(BODY)


def test_each_family_by_itself() -> None:
    with web("::1") as port:
        by_address = one(Service(name="page", url=f"http://[::1]:{port}/", family="ipv6"))
        by_name = measured(Service(name="page", url=f"http://localhost:{port}/"))
    assert (by_address["success"], by_address["address"]) == (True, "::1")
    assert by_name["page", "ipv4"].fields["failed_phase"] == "connect"
    assert by_name["page", "ipv4"].fields["address"] == "127.0.0.1"
    assert by_name["page", "ipv6"].fields["name_seconds"] != by_name["page", "ipv4"].fields["name_seconds"]


def test_an_address_of_the_other_family_is_no_success() -> None:
    found = one(Service(name="page", url="http://127.0.0.1:1/", family="ipv6"))
    assert (found["success"], found["failed_phase"]) == (False, "name")


def test_a_name_that_is_not() -> None:
    found = one(Service(name="page", url="http://no-such-name.invalid/", family="ipv4"))
    assert (found["success"], found["failed_phase"]) == (False, "name")
    assert "connect_seconds" not in found


def test_a_server_that_is_silent_does_not_hold_the_probe() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = one(page(server.getsockname()[1]), timeout=0.3)
    assert (found["success"], found["failed_phase"]) == (False, "first_byte")
    assert found["total_seconds"] < 3


def test_an_answer_that_is_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_speak, args=(server, b"220 mail ready\r\n\r\n"), daemon=True)
        thread.start()
        found = one(page(server.getsockname()[1]))
        thread.join(5)
    assert (found["success"], found["failed_phase"]) == (False, "transfer")


def test_a_body_without_end_is_read_to_the_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        head = b"HTTP/1.1 200 OK\r\n\r\n"
        thread = threading.Thread(target=_speak, args=(server, head + b"x" * 2**20), daemon=True)
        thread.start()
        found = one(page(server.getsockname()[1]), body=1000)
        thread.join(5)
    assert found["body_bytes"] == 1000


def _speak(server: socket.socket, words: bytes) -> None:
    accepted, _ = server.accept()
    with closing(accepted):
        accepted.recv(4096)
        try:
            accepted.sendall(words)
        except OSError:
            return


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
         "10", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(folder / "both.pem"), "-out", str(folder / "certificate.pem")],
        check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_text(both.read_text() + (folder / "certificate.pem").read_text())
    return both


@pytest.mark.needs("openssl")
def test_https_verifies_the_certificate_and_tells_its_days(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with web(context=context) as port:
        refused = one(page(port, scheme="https"))
        unverified = one(page(port, scheme="https", verify=False))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_name("certificate.pem")))
        trusted = one(page(port, scheme="https"))
        soon = one(page(port, scheme="https", certificate_days_min=20))
    assert (refused["success"], refused["failed_phase"]) == (False, "tls")
    assert unverified["success"] is True
    assert trusted["success"] is True
    assert 9 < trusted["certificate_days"] <= 10
    assert trusted["tls_seconds"] > 0
    assert soon["error"] == "the certificate ends soon"


def test_tcp_that_is_open_and_one_that_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        opened = one(Service(name="t", kind="tcp", host="127.0.0.1", port=port, family="ipv4"))
    closed = one(Service(name="t", kind="tcp", host="127.0.0.1", port=port, family="ipv4"))
    assert opened["success"] is True
    assert "connect_seconds" in opened
    assert (closed["success"], closed["failed_phase"]) == (False, "connect")


@contextmanager
def name_server(code: int, answers: int, *, forged_first: bool = False) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)

        def serve() -> None:
            query, client = server.recvfrom(512)
            (identifier,) = struct.unpack_from("!H", query)
            if forged_first:
                wrong = struct.pack("!HHHHHH", identifier ^ 1, 0x8180, 1, 9, 0, 0)
                server.sendto(wrong + query[12:], client)
                server.sendto(
                    struct.pack("!HHHHHH", identifier, 0x8180, 1, 9, 0, 0) + b"\1x\0\0\1\0\1", client
                )
                server.sendto(b"short", client)
            head = struct.pack("!HHHHHH", identifier, 0x8180 | code, 1, answers, 0, 0)
            server.sendto(head + query[12:], client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


@pytest.mark.parametrize(
    ("code", "answers", "success"), [(0, 1, True), (0, 0, False), (3, 0, False), (2, 1, False)]
)
def test_a_name_server_by_its_code_and_answers(code: int, answers: int, success: bool) -> None:
    with name_server(code, answers) as port:
        found = one(_dns(port))
    assert (found["success"], found["status"], found["answers"]) == (success, code, answers)
    assert "first_byte_seconds" in found


def test_a_forged_dns_answer_is_nothing() -> None:
    with name_server(0, 2, forged_first=True) as port:
        assert one(_dns(port))["answers"] == 2


def _dns(port: int) -> Service:
    return Service(
        name="d",
        kind="dns",
        host="127.0.0.1",
        port=port,
        query="www.lab.test",
        query_type="AAAA",
        family="ipv4",
    )


def test_a_question_is_as_rfc_1035_writes_it() -> None:
    query, identifier = dns_query("www.lab.test.", "AAAA")
    assert query[12:] == b"\3www\3lab\4test\0\0\x1c\0\1"
    assert struct.unpack_from("!HHHHHH", query) == (identifier, 0x0100, 1, 0, 0, 0)
    assert dns_answer(query, identifier, query[12:]) is None  # a query is no answer


def test_no_service_is_unknown_and_not_failed() -> None:
    with pytest.raises(NoData, match="no service is named"):
        measured()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"services": [{"name": "x", "url": "ftp://h/"}]}, "http needs url"),
        ({"services": [{"name": "x", "kind": "tcp", "host": "h"}]}, "tcp needs host and port"),
        ({"services": [{"name": "x", "kind": "dns", "host": "h"}]}, "dns needs host and query"),
        ({"services": 2 * [{"name": "x", "url": "http://a/"}]}, "a name of its own"),
        ({"services": [{"name": "x", "url": "http://a/\r\nX: y"}]}, "http needs url"),
        ({"timeout": "40s"}, "timeout is from"),
        ({"services": [{"name": "x", "kind": "exec"}]}, "allowed: dns, http, tcp"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        convert(given, Settings, "agent.yaml", below="probes.service")
