"""Each family of checks by table: LANs, reachability, DNS messages, tickets, sites by one family alone."""

from __future__ import annotations

import http.server
import ipaddress
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ipv6 import dns, lan, reach, use
from agent.ipv6.advertisement import Advertisement, Prefix, Rdnss
from agent.ipv6.fetch import Bounds, NotAllowed, NotFetched, fetch
from agent.ipv6.platforms import Platform, look_at, same, sum_up
from agent.ipv6.reach import Tried
from agent.network.addresses import DEPRECATED, Address
from agent.network.neighbours import FAILED, REACHABLE, STALE, Neighbour
from config.far_end import (
    Ask,
    Kind,
    decode_answer,
    decode_ask,
    encode_answer,
    encode_ask,
    make_ticket,
    ticket_holds,
)
from config.readiness import Result

ROUTER = ipaddress.IPv6Address("fe80::1")
NETWORK = ipaddress.IPv6Network("2001:db8:1::/64")
KEY = bytes(32)


def prefix(*, on_link: bool = True, autonomous: bool = True, valid: int = 86400, net: str = "") -> Prefix:
    network = ipaddress.IPv6Network(net) if net else NETWORK
    return Prefix(network, on_link, autonomous, valid, valid)


def heard(*prefixes: Prefix, lifetime: int = 1800, **more: object) -> Advertisement:
    return Advertisement(ROUTER, lifetime, prefixes=prefixes or (prefix(),), **more)  # type: ignore[arg-type]


def on(
    *advertisements: Advertisement, routed: bool | None = True, expected: bool = True,
    addresses: tuple[Address, ...] = (), **more: object,
) -> lan.Lan:  # fmt: skip
    return lan.Lan("lan0", addresses, advertisements, 1.0, routed, lambda _: expected, **more)  # type: ignore[arg-type]


def address(text: str, flags: int = 0x80, length: int = 64) -> Address:
    return Address("lan0", ipaddress.IPv6Address(text), flags, length)


@pytest.mark.parametrize(
    ("addresses", "code"),
    [
        ((address("2001:db8:1::1"),), "prefixes"),
        ((address("2001:db8:1::1", length=60),), "prefixes"),
        ((address("2001:db8:1::1", length=112),), "prefix_too_long"),
        ((address("2001:db8:1::1", DEPRECATED),), "prefix_deprecated"),
        ((address("fd00::1"), address("fe80::1")), "lan_only_ula"),
        ((address("fe80::1"),), "lan_without_prefix"),
        ((), "lan_without_prefix"),
        ((address("2002:102:304::1"),), "lan_without_prefix"),
    ],
)
def test_check_3(addresses: tuple[Address, ...], code: str) -> None:
    finding = lan.prefix(on(addresses=addresses))
    assert finding.code == code
    assert (finding.result is Result.PASS) == (code == "prefixes")


@pytest.mark.parametrize(
    ("state", "result", "code"),
    [
        (on(heard()), Result.PASS, "advertised"),
        (on(heard(lifetime=0)), Result.FAIL, "lifetime_zero"),
        (on(heard(lifetime=0), routed=False), Result.PASS, "advertised_no_way_out"),
        (on(heard(lifetime=0), routed=None), Result.UNKNOWN, "lifetime_zero_lan"),
        (on(heard(), routed=False), Result.FAIL, "lifetime_without_route"),
        (on(heard(), routed=None), Result.PASS, "advertised"),
        (on(heard(prefix(on_link=False))), Result.FAIL, "not_on_link"),
        (on(heard(prefix(autonomous=False))), Result.FAIL, "not_autonomous"),
        (on(heard(prefix(autonomous=False), managed=True)), Result.PASS, "advertised"),
        (on(heard(prefix(valid=0))), Result.FAIL, "prefix_expired"),
        (on(heard(prefix(net="fd00::/64"))), Result.FAIL, "no_prefix_advertised"),
        (on(heard(prefix(net="fd00::/64"), managed=True)), Result.PASS, "managed"),
        (on(heard(), expected=False), Result.FAIL, "unexpected_router"),
        (on(), Result.FAIL, "no_advertisement"),
        (lan.Lan("lan0", (), None, 0.0, True, lambda _: True), Result.UNKNOWN, "needs_capability"),
    ],
)
def test_check_4(state: lan.Lan, result: Result, code: str) -> None:
    finding = lan.advertisement(state)
    assert (finding.result, finding.code) == (result, code)


def with_dns(lifetime: int, interval: float | None = None, own: float | None = None) -> lan.Lan:
    server = (Rdnss((ipaddress.IPv6Address("2001:db8::53"),), lifetime),)
    return on(heard(rdnss=server, interval_seconds=own), interval_seconds=interval)


@pytest.mark.parametrize(
    ("state", "result", "code"),
    [
        (with_dns(12, 4), Result.PASS, "rdnss"),
        (with_dns(11, 4), Result.FAIL, "rdnss_short"),
        (with_dns(12, 600, own=4), Result.PASS, "rdnss"),
        (with_dns(600), Result.UNKNOWN, "interval_unknown"),
        (with_dns(5400), Result.PASS, "rdnss"),
        (with_dns(0xFFFFFFFF, 1800), Result.PASS, "rdnss"),
        (with_dns(0, 4), Result.FAIL, "rdnss_zero"),
        (on(heard()), Result.FAIL, "no_dns"),
        (on(heard(other=True)), Result.UNKNOWN, "dhcpv6_not_asked"),
        (on(heard(other=True), dhcp=lan.DhcpAnswer(("2001:db8::53",))), Result.PASS, "dhcpv6_dns"),
        (on(heard(other=True), dhcp=lan.DhcpAnswer()), Result.FAIL, "dhcpv6_silent"),
        (on(heard(managed=True), dhcp=lan.DhcpAnswer(why_not="x")), Result.UNKNOWN, "dhcpv6_not_asked"),
    ],
)
def test_check_5(state: lan.Lan, result: Result, code: str) -> None:
    finding = lan.dns(state)
    assert (finding.result, finding.code) == (result, code)


def tried(target: str, family: str, answered: int, seconds: float = 0.01, network: str = "") -> Tried:
    return Tried(target, network or target, family, 20, (seconds,) * answered)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answers", "networks", "code"),
    [
        ((20, 20, 20), "aab", "reached"),
        ((20, 20, 17), "aab", "reached"),
        ((20, 20, 16), "aab", "not_reached"),
        ((0, 0, 0), "aab", "not_reached"),
        ((20, 20), "ab", "no_targets"),
        ((20, 20, 20), "aaa", "no_targets"),
        ((), "", "no_targets"),
    ],
)
def test_check_7(answers: tuple[int, ...], networks: str, code: str) -> None:
    listed = [tried(str(n), "ipv6", count, network=networks[n]) for n, count in enumerate(answers)]
    also = [tried(str(n), "ipv4", 20, network=f"{n}") for n in range(5)]
    assert reach.reachability([*listed, *also]).code == code


@pytest.mark.parametrize(
    ("six", "four", "code"),
    [
        (tried("a", "ipv6", 20, 0.011), tried("a", "ipv4", 20, 0.010), "parity"),
        (tried("a", "ipv6", 20, 0.030), tried("a", "ipv4", 20, 0.010), "slower"),
        (tried("a", "ipv6", 20, 0.0009), tried("a", "ipv4", 20, 0.0001), "parity"),
        (tried("a", "ipv6", 20, 3.2), tried("a", "ipv4", 20, 2.94), "slower"),
        (tried("a", "ipv6", 19), tried("a", "ipv4", 20), "lossier"),
        (tried("a", "ipv6", 19), tried("a", "ipv4", 19), "parity"),
        (tried("a", "ipv6", 20), tried("b", "ipv4", 20), "no_dual_target"),
        (tried("a", "ipv6", 20), tried("a", "ipv4", 0), "no_dual_target"),
    ],
)
def test_check_11(six: Tried, four: Tried, code: str) -> None:
    assert reach.parity([six, four]).code == code


def test_check_15() -> None:
    before, after = use.Reading(0, 0, 0), use.Reading(20_014_000, 1000, 15_000_000)
    hosts, few = use.Hosts(10, 8), use.Hosts(10, 6)
    assert use.actual_use(before, after, hosts, 70).code == "use"
    assert use.actual_use(before, after, hosts, 80).code == "little_use"
    assert use.actual_use(before, after, few, 70).code == "few_hosts"
    assert use.actual_use(after, before, hosts, 80).code == "no_traffic_seen"
    assert use.actual_use(before, use.Reading(100, 1, 100), hosts, 80).code == "no_traffic_seen"
    assert use.actual_use(before, after, hosts, None).code == "no_floor"
    for unseen in (None, use.Hosts(0, 0)):
        assert use.actual_use(before, after, unseen, 70).result is Result.UNKNOWN


def neighbour(index: int, text: str, state: int, mac: str, confirmed: float | None = 5.0) -> Neighbour:
    return Neighbour(index, ipaddress.ip_address(text), state, confirmed, mac)


def test_active_hosts_are_counted_by_mac_and_ipv6_only_beyond_the_link() -> None:
    known = [
        neighbour(3, "10.0.0.5", REACHABLE, "a"), neighbour(3, "2001:db8:1::5", STALE, "a"),
        neighbour(3, "fe80::5", REACHABLE, "a"), neighbour(3, "2001:db8:1::6", STALE, "a"),
        neighbour(3, "10.0.0.6", STALE, "b"), neighbour(3, "fe80::6", REACHABLE, "b"),
        neighbour(3, "10.0.0.7", STALE, "c", 3600.0), neighbour(3, "10.0.0.8", FAILED, ""),
        neighbour(9, "10.9.0.8", REACHABLE, "d"),
    ]  # fmt: skip
    assert use.active_hosts(known, [3]) == use.Hosts(2, 1)
    assert use.active_hosts(known, []) == use.Hosts(0, 0)


@pytest.mark.parametrize(
    ("offers", "code"),
    [
        ([], "lan_without_prefix"),
        ([lan.Offer("wan0", (), 0)], "no_delegating_server"),
        ([lan.Offer("wan0", (), 0), lan.Offer("wan1", (), 3)], "no_delegation"),
        ([lan.Offer("wan0", (), 3), lan.Offer("wan1", ("2001:db8:1::/56",), 1)], "delegation_unused"),
    ],
)
def test_why_a_lan_has_no_prefix(offers: list[lan.Offer], code: str) -> None:
    finding = lan.undelegated(lan.prefix(on()), offers)
    assert (finding.result, finding.code, finding.values["interface"]) == (Result.FAIL, code, "lan0")


def test_tries_of_two_rounds_add_up() -> None:
    slow, fast = tried("a", "ipv6", 9, 0.050), tried("a", "ipv6", 20, 0.010)
    base = [tried("a", "ipv4", 20, 0.010)]
    assert reach.parity([slow, *base]).code == "slower"
    both = reach.together([slow, *base], [fast, *base])
    assert [(each.family, each.tries, len(each.seconds)) for each in both] == [
        ("ipv6", 40, 29),
        ("ipv4", 40, 40),
    ]


def answer(asked: bytes, *records: tuple[int, bytes], rcode: int = 0) -> bytes:
    head = struct.pack("!6H", int.from_bytes(asked[:2], "big"), 0x8180 | rcode, 1, len(records), 0, 0)
    listed = b"".join(
        b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data for kind, data in records
    )
    return head + asked[12:] + listed


ASKED = dns.question(7, "www.example.cn", dns.AAAA)
ADDRESS = ipaddress.IPv6Address("2001:db8::5").packed


def test_dns_answers() -> None:
    assert dns.parse_answer(answer(ASKED, (5, b"\x01x\x00"), (28, ADDRESS)), ASKED).records == (
        "2001:db8::5",
    )
    assert dns.parse_answer(answer(ASKED, rcode=3), ASKED) == dns.Answer("NXDOMAIN", ())
    asked = dns.question(7, "example.cn", dns.NS)
    assert dns.parse_answer(answer(asked, (2, b"\x02ns\xc0\x0c")), asked).records == ("ns.example.cn",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        answer(dns.question(8, "www.example.cn", dns.AAAA), (28, ADDRESS)),
        answer(dns.question(7, "evil.example.cn", dns.AAAA), (28, ADDRESS)),
        ASKED,
        answer(ASKED, (28, ADDRESS))[:-1],
        answer(ASKED, (28, ADDRESS[:5])),
        answer(ASKED)[:6] + b"\x00\x01" + answer(ASKED)[8:] + b"\xc0" + bytes((len(ASKED),)),
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(dns.NoAnswer):
        dns.parse_answer(data, ASKED)


@given(st.binary(max_size=120))
def test_a_strange_resolver_breaks_nothing(data: bytes) -> None:
    try:
        dns.parse_answer(answer(ASKED)[:7] + b"\x02" + answer(ASKED)[8:] + data, ASKED)
    except dns.NoAnswer:
        return


def test_tickets() -> None:
    ticket = make_ticket(KEY, 1000)
    assert ticket_holds(KEY, ticket, 1000.0)
    assert not ticket_holds(KEY, ticket, 1001.0)
    assert not ticket_holds(bytes(31) + b"\1", ticket, 1000.0)
    for at in range(len(ticket)):
        assert not ticket_holds(KEY, ticket[:at] + bytes((ticket[at] ^ 1,)) + ticket[at + 1 :], 1000.0)


def test_questions_and_answers_of_the_far_end() -> None:
    ask = Ask(Kind.ERROR, make_ticket(KEY, 1), 4, 2, 65535, 255)
    assert decode_ask(encode_ask(ask, 1552)) == ask
    assert decode_answer(encode_answer(9, yes=True, size=1552)) == (9, True)
    assert len(encode_answer(9, yes=False)) <= len(encode_ask(ask))


@given(st.binary(max_size=80))
def test_the_far_end_takes_garbage_for_nothing(data: bytes) -> None:
    ask = decode_ask(data)
    assert ask is None or not ticket_holds(KEY, ask.ticket, 0.0)
    decode_answer(data)


class _Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
        else:
            self.send_response(404 if self.path == "/robots.txt" else 200)
        self.end_headers()
        if self.path != "/loop":
            self.wfile.write(b"<a href='/second'>one</a> " + self.server.words)  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[_Server, _Server6]]:
    """The same port on both loopback addresses; the name school.test has both, also without a hosts file."""
    real = socket.getaddrinfo

    def known(host: str, port: int, family: int = 0, *more: int) -> object:
        own: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
        return real(own[family] if host == "school.test" else host, port, family, *more)

    monkeypatch.setattr(socket, "getaddrinfo", known)
    four = _Server(("127.0.0.1", 0), _Pages)
    six = _Server6(("::1", four.server_address[1]), _Pages)
    for server in (four, six):
        server.words = b"welcome to the school"  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield four, six
    for server in (four, six):
        server.shutdown()
        server.server_close()


QUICK = Bounds(pause=0.0, timeout=2)  # type: ignore[arg-type]


def test_a_page_comes_by_the_family_that_was_asked_for(servers: tuple[_Server, _Server6]) -> None:
    port = servers[0].server_address[1]
    for family, where in (("ipv4", "127.0.0.1"), ("ipv6", "::1")):
        page = fetch(f"http://school.test:{port}/", family, QUICK, inside=True)  # type: ignore[arg-type]
        assert (page.status, page.address) == (200, where)


def test_ipv6_never_passes_over_ipv4(servers: tuple[_Server, _Server6]) -> None:
    four, six = servers
    six.shutdown()
    six.server_close()
    port = four.server_address[1]
    assert fetch(f"http://school.test:{port}/", "ipv4", QUICK, inside=True).status == 200
    with pytest.raises(NotFetched):
        fetch(f"http://school.test:{port}/", "ipv6", QUICK, inside=True)
    with pytest.raises(NotFetched):
        fetch(f"http://127.0.0.1:{port}/", "ipv6", QUICK, inside=True)
    finding = sum_up(look_at([Platform(f"http://school.test:{port}/", inside=True)], QUICK, []))
    assert finding.code == "site_refuses"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://localhost/", "http://school.test:PORT/", "http://[::1]:PORT/"]
)
def test_what_is_not_listed_is_not_asked(servers: tuple[_Server, _Server6], url: str) -> None:
    with pytest.raises(NotAllowed):
        fetch(url.replace("PORT", str(servers[0].server_address[1])), "ipv6", QUICK)


def test_redirects_are_counted(servers: tuple[_Server, _Server6]) -> None:
    with pytest.raises(NotAllowed, match="more than 3 redirects"):
        fetch(f"http://school.test:{servers[0].server_address[1]}/loop", "ipv6", QUICK, inside=True)


def test_a_site_is_compared_and_its_links_tried(servers: tuple[_Server, _Server6]) -> None:
    site = Platform(f"http://school.test:{servers[0].server_address[1]}/", inside=True)
    report = look_at([site], QUICK, [])[0]
    assert (report.finding.result, report.links_tried, report.links_answered) == (Result.PASS, 1, 1)
    assert report.degradation is not None
    servers[1].words = b"an error page of another machine"  # type: ignore[attr-defined]
    assert look_at([site], QUICK, [])[0].finding.code == "site_differs"


def test_pages_that_change_a_little_are_the_same() -> None:
    words = " ".join(f"word{n}" for n in range(50)).encode()
    assert same(words, words + b" 12:01 visitors 7")
    assert not same(words, b"502 bad gateway")
