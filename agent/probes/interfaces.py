"""Counters of every interface, each second; windows with rates, histogram and peak (RFC 2863, RFC 9097)."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator

import msgspec

from agent.lines import line_interfaces, remember
from agent.network import ethtool, offload
from agent.network.counters import Counters, increase, parse_ipv6_octets, parse_net_dev
from agent.network.ports import Connector, Port, pppoe_port, read_port
from agent.network.routes import default_routes, next_hops
from agent.network.window import LATEST_SAMPLE_PERIODS, InterfaceTrack
from agent.probe import NoData, Probe, Run, Site
from config.points import FieldValue, Point
from config.units import Seconds

log = logging.getLogger(__name__)

HELP = "Octets, packets, errors, drops, rates and port of each interface, sampled every second"
PROVES = {
    "gateway": "what each line carried (at least that it can), and its port's speed (at most that)",
    "lan": "what the agent's own host carried; nothing about a line, unless its interface is declared",
}
CONTINUOUS = True

KERNEL_LEFTOVERS = (
    r"ifb\d+", r"veth[0-9a-f]{7}", r"(tunl|sit|gre|gretap|erspan|ip6tnl|ip6gre|ip_vti|ip6_vti)0",
)  # fmt: skip
_PLAIN_NAME = re.compile(r"[!-~]*[!-\[\]-~]")
_COUNTER_BITS = 64 if sys.maxsize > 2**32 else 32


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the probe.

    ``ignore`` and ``lan`` are regular expressions for whole names: interfaces that are not watched (never a
    line's), and those whose role is ``lan``. ``look`` is how often speed, duplex, state and routes are read.
    """

    window: Seconds = Seconds(60)
    """Length of a window."""
    sample: Seconds = Seconds(1)
    """Time between two looks at the counters."""
    look: Seconds = Seconds(10)
    ignore: tuple[str, ...] = KERNEL_LEFTOVERS
    lan: tuple[str, ...] = (r"br-?lan.*", r"lan\d*(@.*)?", r"br\d+")
    max_interfaces: int = 64
    """At most so many interfaces are watched."""

    def __post_init__(self) -> None:
        if not 0.2 <= self.sample <= 60:
            raise ValueError("sample is from 200ms to 60s")
        if not self.sample <= self.window <= 3600:
            raise ValueError("window is from one sample to 1h")
        if not 1 <= self.max_interfaces <= 4096:
            raise ValueError("max_interfaces is from 1 to 4096")
        for pattern in (*self.ignore, *self.lan):
            _compiled(pattern)


def build(settings: Settings, site: Site) -> Probe:
    """The probe on this host."""
    return Interfaces(settings, site, ethtool.connector)


class Interfaces:
    """Watches all interfaces; one window each run, and the next one begins where the last ended."""

    def __init__(
        self,
        settings: Settings,
        site: Site,
        connector: Connector,
        flowtables: offload.Asked = offload.ask_kernel,
    ) -> None:
        self._settings = settings
        self._site = site
        self._connector = connector
        self._flowtables = flowtables
        self._ignored = _any_of(settings.ignore)
        self._lan = _any_of(settings.lan)
        self._tracks: dict[str, InterfaceTrack] = {}
        self._ports: dict[str, Port] = {}
        self._ipv6: dict[str, int] = {}
        self._lines: dict[str, str] = {}
        self._next_hops: dict[str, str] = {}
        self._pppoe: str | None = None
        self._bypassed = False
        self._read_ns: int | None = None
        self._looked_ns: int | None = None
        self._told_full = False

    def measure(self, run: Run) -> list[Point]:
        """Watch for ``run.window_seconds`` and give one point for each interface seen meanwhile."""
        period_ns = round(self._settings.sample * 1e9)
        next_ns = self._begin(run) + period_ns
        end_ns = next_ns - period_ns + round(run.window_seconds * 1e9)
        while next_ns <= end_ns and run.remaining_seconds() > 0:
            if not run.wait((next_ns - run.clock.monotonic_ns()) / 1e9):
                break
            self._sample(run)
            late = max(0, run.clock.monotonic_ns() - next_ns) // period_ns
            next_ns += (1 + late) * period_ns
        self._look()
        return list(self._take(run.clock.wall_ns()))

    def _begin(self, run: Run) -> int:
        """The moment the window starts: where the last one ended, or now when that is long ago."""
        now_ns = run.clock.monotonic_ns()
        longest_ns = round(LATEST_SAMPLE_PERIODS * self._settings.sample * 1e9)
        if self._read_ns is None or now_ns - self._read_ns > longest_ns:
            self._sample(run)
        return self._read_ns if self._read_ns is not None else now_ns

    def _sample(self, run: Run) -> None:
        now_ns = run.clock.monotonic_ns()
        if self._looked_ns is None or now_ns - self._looked_ns >= self._settings.look * 1e9:
            self._looked_ns = now_ns
            self._look()
        readings = self._read()
        self._read_ns = run.clock.monotonic_ns()
        for name in self._tracks.keys() - readings.keys():
            self._tracks[name].lose()
            self._ipv6.pop(name, None)
        for name, counters in readings.items():
            self._track(name).add(self._read_ns, counters)

    def _read(self) -> dict[str, Counters]:
        """Counters of the interfaces that are watched, the lines' first where there are too many."""
        path = self._site.proc / "net/dev"
        try:
            with path.open(encoding="ascii", errors="replace") as file:
                found = parse_net_dev(file.read())
        except OSError as error:
            raise NoData(f"{path} cannot be read: {error.strerror}") from None
        watched = {name: counters for name, counters in found.items() if self._is_watched(name)}
        if len(watched) > self._settings.max_interfaces:
            self._tell_full(len(watched))
            kept = sorted(watched, key=lambda name: name not in self._lines)[: self._settings.max_interfaces]
            return {name: watched[name] for name in kept}
        return watched

    def _is_watched(self, name: str) -> bool:
        if not _PLAIN_NAME.fullmatch(name):
            return False
        return name in self._lines or not self._ignored(name)

    def _tell_full(self, number: int) -> None:
        if not self._told_full:
            self._told_full = True
            log.warning(
                "interfaces_left_out found=%d max_interfaces=%d", number, self._settings.max_interfaces
            )

    def _track(self, name: str) -> InterfaceTrack:
        track = self._tracks.get(name)
        if track is None:
            track = self._tracks[name] = InterfaceTrack(float(self._settings.sample), _COUNTER_BITS)
            self._look_at(name, track)
            self._start_ipv6(name)
        return track

    def _look(self) -> None:
        """Read what changes seldom. An interface with a new index is another one under the old name."""
        self._lines = remember(self._lines, line_interfaces(self._site))
        self._next_hops = next_hops(default_routes(self._site.proc))
        self._pppoe = pppoe_port(self._site.proc)
        self._bypassed |= offload.bypasses_counters(self._site.sys, self._flowtables) is True
        for name, track in self._tracks.items():
            before = self._ports.get(name)
            self._look_at(name, track)
            if before and before.index != self._ports[name].index:
                track.lose()
                self._ipv6.pop(name, None)

    def _look_at(self, name: str, track: InterfaceTrack) -> None:
        port = self._ports[name] = read_port(self._site.sys, name, self._connector, self._pppoe)
        track.link_bits_per_second = port.speed_bits_per_second
        track.rx_header_bytes = port.rx_header_bytes
        track.tx_header_bytes = port.tx_header_bytes

    def _take(self, time_ns: int) -> Iterator[Point]:
        for name in sorted(self._tracks):
            track = self._tracks[name]
            fields = track.take()
            if fields:
                yield Point("interface", self._tags(name), fields | self._others(name), time_ns)
            if track.is_lost:
                del self._tracks[name], self._ports[name]
        self._bypassed = False

    def _tags(self, name: str) -> dict[str, str]:
        line = self._lines.get(name)
        if line is not None:
            return {"interface": name, "role": "line", "line": line}
        if self._ports[name].is_loopback:
            return {"interface": name, "role": "loopback"}
        return {"interface": name, "role": "lan" if self._lan(name) else "other"}

    def _others(self, name: str) -> dict[str, FieldValue]:
        """The port as it stands at the window's end, and the window's IPv6 octets."""
        port = self._ports[name]
        told = {
            **self._ipv6_told(name),
            "port_bits_per_second": port.speed_bits_per_second,
            "port_type": port.port_type,
            "duplex": port.duplex,
            "operational": port.operational,
            "next_hop": self._next_hops.get(name),
        }
        return {key: value for key, value in told.items() if value is not None}

    def _ipv6_told(self, name: str) -> dict[str, FieldValue | None]:
        """The window's IPv6 octets; where flows were forwarded past the counters, that they are not known."""
        moved = self._ipv6_moved(name)
        if self._bypassed and moved is not None and not self._ports[name].is_loopback:
            return {"ipv6_unknown": "flow_offload"}
        return {"rx_ipv6_bytes": moved}

    def _ipv6_octets(self, name: str) -> int | None:
        try:
            text = (self._site.proc / "net/dev_snmp6" / name).read_text(encoding="ascii")
        except OSError:
            return None
        return parse_ipv6_octets(text)

    def _start_ipv6(self, name: str) -> None:
        octets = self._ipv6_octets(name)
        if octets is not None:
            self._ipv6[name] = octets

    def _ipv6_moved(self, name: str) -> int | None:
        before = self._ipv6.pop(name, None)
        self._start_ipv6(name)
        after = self._ipv6.get(name)
        return None if before is None or after is None else increase(before, after)


def _any_of(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    compiled = [_compiled(pattern) for pattern in patterns]
    return lambda name: any(pattern.fullmatch(name) for pattern in compiled)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
