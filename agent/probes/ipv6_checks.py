"""The fifteen IPv6 readiness checks, from where this agent stands, and the level they add up to."""

from __future__ import annotations

import ipaddress

import msgspec

from agent.ipv6.checklist import Checklist, Options
from agent.ipv6.fetch import Bounds
from agent.ipv6.platforms import Platform, SiteReport
from agent.ipv6.reach import Target
from agent.probe import Probe, Run, Site
from config.points import FieldValue, Point
from config.readiness import MEASUREMENT, SUMMARY, Finding, summary_fields
from config.readiness_words import finding_fields
from config.units import Seconds

HELP = "IPv6 readiness: fifteen checks, each pass, fail or unknown, and the level from 0 to 4"
PROVES = {
    "gateway": "checks 1 to 5, 7, 8, 10 (echo), 11, 14 and 15; not what a client in the LAN gets (6, 13)",
    "lan": "checks 4 to 8, 10 (echo), 11 and 14, as a client has them; not the WAN (1 to 3, 15)",
}
CONTINUOUS = False
SOURCE = "ipv6"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the probe."""

    every: Seconds = Seconds(600)
    """How often all checks run."""
    lans: tuple[str, ...] = ()
    """Interfaces of the LANs; empty means every Ethernet interface that is up and no line's."""
    routers: tuple[str, ...] = ()
    """MAC or link-local addresses of the routers that may advertise, beside this host itself."""
    wait: Seconds = Seconds(10)
    """How long a client in the LAN waits for its address."""
    ask: Seconds = Seconds(4.5)
    """How long routers have to answer a solicitation: 0.5 s and 3 s between two (RFC 4861 6.2.6)."""
    targets: tuple[Target, ...] = ()
    """What is connected to by TCP over both families; at least three, in two networks."""
    tries: int = 7
    """Connections to each target by each family."""
    timeout: Seconds = Seconds(2)
    """How long a connection or a DNS answer may take."""
    resolvers: tuple[str, ...] = ()
    """IPv6 addresses of resolvers to ask first; those of /etc/resolv.conf follow."""
    dns_name: str = ""
    """A name that has an AAAA record; empty means the first platform's."""
    max_advertisement_interval: Seconds | None = None
    """MaxRtrAdvInterval of the LAN's router, for check 5; absent means what the router itself says."""
    use_floor_percent: float | None = None
    """The least share of IPv6 in what comes in and among the active hosts, for check 15; absent leaves the
    check unknown."""
    platforms: tuple[Platform, ...] = ()
    """The school's own site and the platforms it uses."""
    bounds: Bounds = Bounds()
    """How far the look at sites goes."""

    def __post_init__(self) -> None:
        if not 10 <= self.every <= 86400:
            raise ValueError("every is from 10s to 1d")
        for name in ("wait", "ask", "timeout"):
            if not 0.1 <= getattr(self, name) <= 30:
                raise ValueError(f"{name} is from 100ms to 30s")
        if not 1 <= self.tries <= 50:
            raise ValueError("tries is from 1 to 50")
        if len(self.targets) > 16 or len(self.platforms) > 16:
            raise ValueError("at most 16 targets and 16 platforms")
        for resolver in self.resolvers:
            ipaddress.IPv6Address(resolver)


def build(settings: Settings, site: Site) -> Probe:
    """The probe on this host."""
    return Ipv6Checks(settings, site)


class Ipv6Checks:
    """Runs the checklist and tells each finding and the sum."""

    def __init__(self, settings: Settings, site: Site) -> None:
        self._place = site.stands_on
        self._checklist = Checklist(site, options_of(settings))

    def measure(self, run: Run) -> list[Point]:
        """One point a check, and one that sums them up. Check 12 is the listener's to tell."""
        findings = [finding for finding in self._checklist.run(run) if finding.check != 12]
        now_ns = run.clock.wall_ns()
        sites = [_of_site(report, now_ns) for report in self._checklist.sites]
        return [*points_of(findings, self._place, SOURCE, now_ns), *sites]


def _of_site(report: SiteReport, time_ns: int) -> Point:
    fields: dict[str, FieldValue] = {
        "result": report.finding.result.value,
        "links_tried": report.links_tried,
        "links_answered": report.links_answered,
    }
    for family, page in (("ipv4", report.ipv4), ("ipv6", report.ipv6)):
        if page is not None:
            fields[f"{family}_status"] = page.status
            fields[f"{family}_connect_seconds"] = page.connect_seconds
            fields[f"{family}_first_byte_seconds"] = page.first_byte_seconds
            fields[f"{family}_redirects"] = page.redirects
    if report.degradation is not None:
        fields["degradation"] = report.degradation
    if report.certificate_until is not None:
        fields["certificate_seconds"] = report.certificate_until - time_ns / 1e9
    return Point("ipv6_site", {"site": report.site}, fields, time_ns)


def options_of(settings: Settings) -> Options:
    """Settings as the checklist takes them."""
    return Options(
        lans=settings.lans,
        routers=settings.routers,
        wait_seconds=float(settings.wait),
        ask_seconds=float(settings.ask),
        targets=settings.targets,
        tries=settings.tries,
        timeout_seconds=float(settings.timeout),
        resolvers=settings.resolvers,
        dns_name=settings.dns_name,
        interval_seconds=None if settings.max_advertisement_interval is None
        else float(settings.max_advertisement_interval),
        use_floor_percent=settings.use_floor_percent,
        platforms=settings.platforms,
        bounds=settings.bounds,
    )  # fmt: skip


def points_of(findings: list[Finding], place: str, source: str, time_ns: int) -> list[Point]:
    """Each finding as a point, and their sum for the judge."""
    told = [
        Point(MEASUREMENT, {"check": str(finding.check), "place": place}, finding_fields(finding), time_ns)
        for finding in findings
    ]
    return [*told, Point(SUMMARY, {"place": place, "source": source}, summary_fields(findings), time_ns)]
