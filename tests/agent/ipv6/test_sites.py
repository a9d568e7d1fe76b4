"""Sites of check 14 on real servers: robots, GET alone, bounds, inside addresses, redirects, certificates."""

from __future__ import annotations

import http.server
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.ipv6.fetch import USER_AGENT, Bounds, NotAllowed, Page, fetch
from agent.ipv6.platforms import Platform, SiteReport, look_at, sum_up
from agent.probes.ipv6_checks import _of_site
from config.measurements import check
from config.readiness import Result, passed
from tests.agent.probes.netns import call_in, ip, joined_pair

QUICK = Bounds(pause=0.0, timeout=2)  # type: ignore[arg-type]
OUTSIDE, INSIDE = "2400:3200::1", "fd99::2"
"""A global address that stands on a namespace's own link, and an inside one."""
PAGES = {
    "/": b"<a href=/two>second</a> <a href=/private/x>closed</a> <a href=http://elsewhere.test/>away</a>",
    "/two": b"<a href=/three>third</a> <a href=/two>itself</a>",
    "/three": b"<a href=/four>fourth</a>",
    "/four": b"too deep",
    "/robots.txt": b"User-agent: *\nDisallow: /private\n",
    "/large": bytes(400_000),
}


class Server(http.server.ThreadingHTTPServer):
    """Notes each request; ``moved`` are redirects."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def __init__(self, address: str, pages: dict[str, bytes], moved: dict[str, str] | None = None) -> None:
        super().__init__((address, 0), Handler)
        self.pages, self.moved = pages, moved or {}
        self.asked: list[tuple[str, str]] = []
        self.agents: set[str] = set()

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        self.server.asked.append((self.command, self.path))
        self.server.agents.add(self.headers.get("User-Agent", ""))
        target, body = self.server.moved.get(self.path), self.server.pages.get(self.path)
        self.send_response(302 if target else 200 if body is not None else 404)
        if target:
            self.send_header("Location", target)
        self.end_headers()
        self.wfile.write(body or b"")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        pass


@contextmanager
def served(make: Callable[[], Server]) -> Iterator[Server]:
    with make() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def site() -> Iterator[Server]:
    with served(lambda: Server("::1", PAGES)) as server:
        yield server


def report_of(server: Server, path: str = "/", bounds: Bounds = QUICK) -> SiteReport:
    return look_at([Platform(server.url + path, inside=True)], bounds, [])[0]


def test_links_are_tried_to_the_third_level_by_get_alone_and_robots_are_honoured(site: Server) -> None:
    report = report_of(site)
    assert (report.finding.result, report.links_tried, report.links_answered) == (Result.PASS, 2, 2)
    assert {method for method, _ in site.asked} == {"GET"}
    assert {path for _, path in site.asked} == {"/robots.txt", "/", "/two", "/three"}
    assert site.agents == {USER_AGENT}


def test_a_site_that_robots_close_is_unknown_and_not_asked(site: Server) -> None:
    finding = report_of(site, "/private").finding
    assert (finding.result, finding.values["why"]) == (Result.UNKNOWN, "robots.txt forbids it")
    assert {path for _, path in site.asked} == {"/robots.txt"}


def test_so_many_links_and_no_more(site: Server) -> None:
    assert report_of(site, bounds=Bounds(pause=0.0, links=1)).links_tried == 1  # type: ignore[arg-type]


def test_of_a_large_page_so_much_is_read(site: Server) -> None:
    bounds = Bounds(max_bytes=10_000)  # type: ignore[arg-type]
    assert len(fetch(f"{site.url}/large", "ipv6", bounds, inside=True).body) == 10_000


def test_redirects_that_are_followed_are_counted_and_told() -> None:
    with served(lambda: Server("::1", PAGES, {"/old": "/older", "/older": "/"})) as server:
        report = report_of(server, "/old")
        point = _of_site(report, time.time_ns())
    check(point)
    assert point.fields["ipv6_redirects"] == 2


@pytest.mark.needs_root
@pytest.mark.needs("ip")
@pytest.mark.fault(16)
def test_no_redirect_leads_into_the_schools_own_network() -> None:
    """From a global address to an inside one, by address and by another scheme."""
    with joined_pair() as (near, far):
        ip("-n", far, "addr", "add", f"{OUTSIDE}/64", "dev", "far0", "nodad")
        ip("-n", near, "addr", "add", "2400:3200::2/64", "dev", "near0", "nodad")
        with served(lambda: call_in(far, lambda: Server(INSIDE, PAGES))) as inside:
            moved = {"/in": f"{inside.url}/", "/file": "file:///etc/passwd"}
            with served(lambda: call_in(far, lambda: Server(OUTSIDE, PAGES, moved))) as outside:
                assert wait_for(near, f"{outside.url}/").status == 200
                for path in moved:
                    with pytest.raises(NotAllowed):
                        call_in(near, lambda: fetch(f"{outside.url}{path}", "ipv6", QUICK))  # noqa: B023
            assert inside.asked == []
            assert wait_for(near, f"{inside.url}/", inside=True).status == 200


def wait_for(namespace: str, url: str, *, inside: bool = False) -> Page:
    """The page, once the link has settled."""
    patient = Bounds(timeout=10)  # type: ignore[arg-type]
    return call_in(namespace, lambda: fetch(url, "ipv6", patient, inside=inside))


@pytest.mark.needs("openssl")
def test_a_certificate_that_ends_soon_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "5", "-subj", "/CN=school", "-addext", "subjectAltName=IP:::1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with served(lambda: Server("::1", PAGES)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        platform = Platform(server.url.replace("http:", "https:") + "/", inside=True)
        report = look_at([platform], QUICK, [])[0]
    assert report.finding.result is Result.PASS
    point = _of_site(report, time.time_ns())
    check(point)
    assert 4 * 86400 < float(point.fields["certificate_seconds"]) <= 5 * 86400
    assert sum_up([report], 4).code == "platforms"
    soon = sum_up([report], 14)
    assert (soon.result, soon.code, soon.values["site"]) == (Result.PASS, "platforms_expiring", "::1")


def test_a_site_without_tls_ends_no_certificate() -> None:
    report = SiteReport("a", passed(14, "platforms", sites=1, links=100, tried=0))
    assert sum_up([report], 366).code == "platforms"
