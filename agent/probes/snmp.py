"""Ports of routers and switches that can run no agent, polled by SNMP (IF-MIB, RFC 2863)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from agent.probe import NoData, Probe, ProbeFailed, Run, Site
from agent.snmp.ifmib import COLUMNS, SYS_UP_TIME, Poll, PortReading, moved, read_ports
from agent.snmp.session import Access, Engine, Failed, rows
from config.points import Point
from config.units import Seconds

log = logging.getLogger(__name__)

HELP = "Counters, speed and state of the ports of routers and switches, by SNMP"
PROVES = {
    "gateway": "what the ports of other devices carried, and their speeds: campus trunks, access ports",
    "lan": "the same, and what each line carried where its port on the school's router is declared",
}
CONTINUOUS = False


class PortRole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a port is for; with role ``line``, the id of the line that leaves by it."""

    role: Literal["line", "trunk", "access", "other"] = "other"
    """What the port is for."""
    line: str | None = None

    def __post_init__(self) -> None:
        if (self.role == "line") != (self.line is not None):
            raise ValueError("a port has a line when its role is line, and only then")


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One device. Secrets stand in files of mode 0600. ``ports`` are by ifName."""

    id: str
    """Its id in the points, the same as in the school's devices."""
    host: str
    """Its address or name."""
    port: int = 161
    """UDP port of its SNMP agent."""
    version: Literal["2c", "3"] = "2c"
    """SNMP 2c or 3."""
    community_file: str | None = None
    """File of mode 0600 with the community of version 2c."""
    user: str | None = None
    """User of version 3."""
    auth: Literal["md5", "sha", "sha224", "sha256", "sha384", "sha512"] = "sha"
    """How version 3 authenticates."""
    auth_file: str | None = None
    """File of mode 0600 with the authentication password."""
    priv: Literal["des", "aes", "aes256"] = "aes"
    """How version 3 encrypts."""
    priv_file: str | None = None
    """File of mode 0600 with the privacy password."""
    ports: dict[str, PortRole] = {}

    def __post_init__(self) -> None:
        if not self.id or not self.id.isprintable() or self.id.endswith("\\"):
            raise ValueError("a device needs a printable id")
        if not 1 <= self.port <= 65535:
            raise ValueError("port is from 1 to 65535")
        if self.version == "2c" and self.community_file is None:
            raise ValueError("version 2c needs community_file")
        if self.version == "3" and self.user is None:
            raise ValueError("version 3 needs user")
        if self.priv_file is not None and self.auth_file is None:
            raise ValueError("priv_file needs auth_file (RFC 3414: no privacy without authentication)")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the probe. ``device_deadline`` bounds one device's poll, whatever it answers."""

    every: Seconds = Seconds(60)
    """How often every device is polled."""
    devices: tuple[Device, ...] = ()
    timeout: Seconds = Seconds(2)
    """Of one request."""
    retries: int = 1
    """How often a request is sent again."""
    device_deadline: Seconds = Seconds(15)
    max_ports: int = 512
    """At most so many ports of a device are read."""

    def __post_init__(self) -> None:
        if not 10 <= self.every <= 86400:
            raise ValueError("every is from 10s to 1d")
        if not 0.1 <= self.timeout <= 30 or not 0.1 <= self.device_deadline <= 300:
            raise ValueError("timeout is from 100ms to 30s, device_deadline from 100ms to 300s")
        if not 0 <= self.retries <= 5:
            raise ValueError("retries is from 0 to 5")
        if not 1 <= self.max_ports <= 4096:
            raise ValueError("max_ports is from 1 to 4096")
        if len({device.id for device in self.devices}) < len(self.devices):
            raise ValueError("each device needs an id of its own")


def build(settings: Settings, site: Site) -> Probe:  # noqa: ARG001
    """The probe; nothing is read or sent yet."""
    return Snmp(settings)


class Snmp:
    """Polls all devices side by side; keeps each one's last poll for the rates."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._polls: dict[str, Poll] = {}

    def measure(self, run: Run) -> list[Point]:
        """One point for each port. Raises ProbeFailed when no device answered, NoData when none is named."""
        if not self._settings.devices:
            raise NoData("no device is named in probes.snmp.devices")
        answers = asyncio.run(self._poll_all(run))
        failures = {name: str(each) for name, each in answers.items() if isinstance(each, Failed)}
        for name, reason in failures.items():
            log.warning("device_silent device=%s reason=%s", name, reason)
        if len(failures) == len(self._settings.devices):
            raise ProbeFailed("; ".join(f"{name}: {reason}" for name, reason in failures.items()))
        points = [point for device in self._settings.devices for point in self._points(device, answers, run)]
        self._polls |= {name: each for name, each in answers.items() if isinstance(each, Poll)}
        return points

    async def _poll_all(self, run: Run) -> Mapping[str, Poll | Failed]:
        with Engine() as engine:
            devices = self._settings.devices
            results = await asyncio.gather(*(self._poll_in_time(engine, device, run) for device in devices))
            return {device.id: result for device, result in zip(devices, results, strict=True)}

    async def _poll_in_time(self, engine: Engine, device: Device, run: Run) -> Poll | Failed:
        seconds = min(float(self._settings.device_deadline), run.remaining_seconds())
        try:
            return await asyncio.wait_for(self._poll(engine, device, run), seconds)
        except TimeoutError:
            return Failed(f"did not come to an end within {seconds:g} s")
        except Failed as failure:
            return failure

    async def _poll(self, engine: Engine, device: Device, run: Run) -> Poll:
        session = await engine.open(self._access(device))
        up_time = await session.get(SYS_UP_TIME)
        began_ns = run.clock.monotonic_ns()
        columns = await session.columns(list(COLUMNS.values()), self._settings.max_ports)
        ports = read_ports(rows(columns, COLUMNS))
        ticks = up_time if isinstance(up_time, int) else None
        return Poll(began_ns, run.clock.monotonic_ns(), ticks, ports)

    def _access(self, device: Device) -> Access:
        return Access(
            host=device.host,
            port=device.port,
            version=device.version,
            timeout_seconds=float(self._settings.timeout),
            retries=self._settings.retries,
            community_file=device.community_file,
            user=device.user,
            auth=device.auth,
            auth_file=device.auth_file,
            priv=device.priv,
            priv_file=device.priv_file,
        )

    def _points(self, device: Device, answers: Mapping[str, Poll | Failed], run: Run) -> Iterator[Point]:
        poll = answers[device.id]
        if isinstance(poll, Failed):
            return
        time_ns = run.clock.wall_ns() - (run.clock.monotonic_ns() - poll.ended_ns)
        for name in sorted(poll.ports):
            fields = moved(self._polls.get(device.id), poll, name)
            yield Point("interface", _tags(device, poll.ports[name]), fields, time_ns)


def _tags(device: Device, port: PortReading) -> dict[str, str]:
    declared = device.ports.get(port.name, PortRole())
    line = {"line": declared.line} if declared.line is not None else {}
    return {"interface": port.name, "device": device.id, "role": declared.role, **line}
