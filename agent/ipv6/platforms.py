"""Check 14: the school's site and the platforms it uses, over IPv6 as over IPv4. Polite: robots are honoured,
few pages, a pause between them.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import msgspec

from agent.ipv6 import dns
from agent.ipv6.fetch import USER_AGENT, Bounds, NoAddress, NotAllowed, NotFetched, Page, fetch
from config.readiness import Finding, Result, failed, passed, unknown

SAME_SHARE = 0.8
"""Pages with so many words in common are the same: news and counters change from minute to minute."""
LINKS_SHARE = 0.95
_MOST_LABELS = 8
_WORD = re.compile(r"\w+")


class Platform(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A site to look at."""

    url: str
    """Address of its first page, http or https."""
    inside: bool = False
    """It may stand at an address that is not of the Internet (a county's own cloud)."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"url {self.url!r} is none; allowed is http://… or https://…")


class SiteReport(msgspec.Struct, frozen=True):
    """What was found of one site. Times in seconds by family; ``links_answered`` of ``links_tried`` answered
    over IPv6 of those that answer over IPv4.
    """

    site: str
    finding: Finding
    ipv4: Page | None = None
    ipv6: Page | None = None
    links_tried: int = 0
    links_answered: int = 0

    @property
    def certificate_until(self) -> float | None:
        """The Unix time when the first certificate of the site ends; None without TLS."""
        pages = [page for page in (self.ipv4, self.ipv6) if page is not None]
        return min((page.certificate_until for page in pages if page.certificate_until), default=None)

    @property
    def degradation(self) -> float | None:
        """性能劣化比: how much longer the first byte takes over IPv6, (v6 - v4) / v4."""
        if self.ipv4 is None or self.ipv6 is None:
            return None
        four = self.ipv4.connect_seconds + self.ipv4.first_byte_seconds
        six = self.ipv6.connect_seconds + self.ipv6.first_byte_seconds
        return (six - four) / four if four > 0 else None


def look_at(platforms: Sequence[Platform], bounds: Bounds, resolvers: Sequence[str]) -> list[SiteReport]:
    """Look at each site in turn, as long as the bounds allow."""
    end = time.monotonic() + bounds.total
    reports = []
    for platform in platforms:
        site = urlsplit(platform.url).hostname or ""
        if time.monotonic() > end:
            reports.append(SiteReport(site, unknown(14, "site_unknown", site=site, why="no time was left")))
        else:
            reports.append(_Site(platform, bounds, resolvers, end).report())
    return reports


def sum_up(reports: Sequence[SiteReport], certificate_days: float = 0.0) -> Finding:
    """The worst of all sites: one that fails names itself, and so does a certificate that ends soon."""
    if not reports:
        return unknown(14, "no_platforms")
    for result in (Result.FAIL, Result.UNKNOWN):
        for report in reports:
            if report.finding.result is result:
                return report.finding
    tried, answered = (sum(getattr(r, name) for r in reports) for name in ("links_tried", "links_answered"))
    percent = round(100 * answered / tried) if tried else 100
    return _expiring(reports, certificate_days) or passed(
        14, "platforms", sites=len(reports), links=percent, tried=tried
    )


def _expiring(reports: Sequence[SiteReport], certificate_days: float) -> Finding | None:
    """A pass that says which certificate ends first, where that is soon."""
    known = [(report.certificate_until, report.site) for report in reports if report.certificate_until]
    until, site = min(known, default=(math.inf, ""))
    days = (until - time.time()) / 86400
    if days >= certificate_days:
        return None
    return passed(14, "platforms_expiring", sites=len(reports), site=site, days=round(days, 1))


class _Site:
    """One site while it is looked at."""

    def __init__(self, platform: Platform, bounds: Bounds, resolvers: Sequence[str], end: float) -> None:
        self._platform = platform
        self._bounds = bounds
        self._resolvers = resolvers
        self._end = end
        self._name = urlsplit(platform.url).hostname or ""
        self._robots = RobotFileParser()
        self._robots.parse([])

    def report(self) -> SiteReport:
        self._read_robots(self._platform.url)
        if not self._robots.can_fetch(USER_AGENT, self._platform.url):
            return SiteReport(
                self._name, unknown(14, "site_unknown", site=self._name, why="robots.txt forbids it")
            )
        four = self._quietly(self._platform.url, "ipv4")
        try:
            six = self._get(self._platform.url, "ipv6")
        except NoAddress:
            return SiteReport(self._name, failed(14, "site_no_aaaa", site=self._name), four)
        except NotAllowed as why:
            return SiteReport(self._name, unknown(14, "site_unknown", site=self._name, why=str(why)), four)
        except NotFetched as why:
            values = {"site": self._name, "address": self._address(), "why": str(why)}
            return SiteReport(self._name, failed(14, "site_refuses", **values), four)
        return self._compared(four, six)

    def _compared(self, four: Page | None, six: Page) -> SiteReport:
        found = self._difference(four, six) or self._name_servers()
        tried, answered = self._links(six)
        if found is None and tried and answered < LINKS_SHARE * tried:
            percent = round(100 * answered / tried)
            found = failed(14, "site_links", site=self._name, tried=tried, links=percent)
        finding = found or passed(14, "platforms", sites=1, links=100, tried=tried)
        return SiteReport(self._name, finding, four, six, tried, answered)

    def _difference(self, four: Page | None, six: Page) -> Finding | None:
        if six.status != 200:
            other = four.status if four else "-"
            return failed(14, "site_status", site=self._name, status=six.status, other=other)
        if four is not None and four.status == 200 and not same(four.body, six.body):
            return failed(14, "site_differs", site=self._name)
        return None

    def _address(self) -> str:
        for resolver in self._resolvers:
            try:
                return ", ".join(dns.ask(resolver, self._name, dns.AAAA, self._bounds.timeout).records)
            except (OSError, ValueError, dns.NoAnswer):
                continue
        return "-"

    def _name_servers(self) -> Finding | None:
        """Fails when the name servers of the site's zone are known and none has an IPv6 address."""
        try:
            servers = list(self._zone_servers())
            have = [self._ask(server, dns.AAAA) for server in servers]
        except (OSError, ValueError, dns.NoAnswer):
            return None
        return failed(14, "site_name_servers", site=self._name) if servers and not any(have) else None

    def _zone_servers(self) -> Iterator[str]:
        labels = self._name.split(".")
        for at in range(min(len(labels) - 1, _MOST_LABELS)):
            records = self._ask(".".join(labels[at:]), dns.NS)
            if records:
                yield from records[:8]
                return

    def _ask(self, name: str, kind: int) -> tuple[str, ...]:
        if not self._resolvers:
            raise dns.NoAnswer("no resolver")
        return dns.ask(self._resolvers[0], name, kind, self._bounds.timeout).records

    def _get(self, url: str, family: str) -> Page:
        return fetch(url, "ipv4" if family == "ipv4" else "ipv6", self._bounds, inside=self._platform.inside)

    def _links(self, home: Page) -> tuple[int, int]:
        """Second-level links of the first page, then third-level ones of those: tried, answered."""
        waiting = [(link, 2) for link in links_of(home)]
        seen = {home.url}
        tried = answered = 0
        while waiting and tried < self._bounds.links and time.monotonic() < self._end:
            link, level = waiting.pop(0)
            if link in seen or not self._robots.can_fetch(USER_AGENT, link):
                continue
            seen.add(link)
            time.sleep(self._bounds.pause)
            page = self._quietly(link, "ipv6")
            works = page is not None and page.status < 400
            if not works and self._dead_over_ipv4(link):
                continue
            tried, answered = tried + 1, answered + works
            if page is not None and level == 2:
                waiting += [(further, 3) for further in links_of(page)]
        return tried, answered

    def _dead_over_ipv4(self, link: str) -> bool:
        page = self._quietly(link, "ipv4")
        return page is None or page.status >= 400

    def _quietly(self, url: str, family: str) -> Page | None:
        try:
            return self._get(url, family)
        except NotFetched:
            return None

    def _read_robots(self, url: str) -> None:
        robots = urljoin(url, "/robots.txt")
        page = self._quietly(robots, "ipv4") or self._quietly(robots, "ipv6")
        if page is not None and page.status == 200:
            self._robots.parse(page.body.decode("utf-8", "replace").splitlines()[:2000])


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and len(self.found) < 500:
            self.found += [value for name, value in attrs if name == "href" and value]


def links_of(page: Page) -> list[str]:
    """The links of a page that stay on its host, each once, in their order."""
    parser = _Links()
    parser.feed(page.body.decode("utf-8", "replace"))
    host = urlsplit(page.url).netloc
    absolute = (_joined(page.url, href) for href in parser.found)
    return list(dict.fromkeys(link for link in absolute if link and urlsplit(link).netloc == host))


def _joined(base: str, href: str) -> str:
    try:
        link = urldefrag(urljoin(base, href.strip())).url
        return link if urlsplit(link).scheme in {"http", "https"} else ""
    except ValueError:
        return ""


def same(one: bytes, other: bytes) -> bool:
    """Both pages have most of their words in common."""
    first, second = (set(_WORD.findall(body.decode("utf-8", "replace"))) for body in (one, other))
    both = first | second
    return not both or len(first & second) >= SAME_SHARE * len(both)
