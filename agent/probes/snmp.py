"""Ports and access points of routers, switches and controllers that can run no agent, by SNMP (RFC 2863)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from agent.probe import NoData, Probe, ProbeFailed, Run, Site
from agent.snmp import v2c
from agent.snmp.device import Bounds, Watched
from agent.snmp.device import Device as DeviceState
from agent.snmp.session import Access, Failed, Session
from config.points import Point
from config.school import School
from config.settings import SettingsError
from config.snmp_profiles import Profiles, profiles
from config.units import Seconds

if TYPE_CHECKING:
    from agent.snmp.v3 import Engine

log = logging.getLogger(__name__)

HELP = "Counters, speed and state of the ports of routers and switches, and access points online, by SNMP"
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
    """One device. Secrets stand in files of mode 0600, relative to the settings' file. ``ports`` are by
    ifName; a port that is not in them has the role that the school's devices give it.
    """

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
    profile: str | None = None
    """The vendor's profile; found by the device's sysObjectID when it is not named."""
    access_points: int | None = None
    """Access points installed; without it, those that the controller lists."""

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
        if self.access_points is not None and self.access_points < 1:
            raise ValueError("access_points is 1 or more, or left out")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the probe. ``device_deadline`` bounds one device's poll, whatever it answers."""

    every: Seconds = Seconds(60)
    """How often every device is polled."""
    devices: tuple[Device, ...] = ()
    """The devices that this agent polls."""
    timeout: Seconds = Seconds(2)
    """Of one request."""
    retries: int = 1
    """How often a request is sent again."""
    device_deadline: Seconds = Seconds(15)
    """Of one device's poll."""
    report: Seconds = Seconds(300)
    """How often a port is written that did not change; a line's port is written at every poll."""
    cached: Seconds = Seconds(10)
    """The longest time for which devices show old counters; peaks are told so much lower."""
    side_by_side: int = 16
    """So many devices are read at once; all are greeted at once."""
    max_ports: int = 512
    """At most so many ports of a device are read."""
    max_access_points: int = 2048
    """At most so many access points of a controller are read."""
    profiles: str | None = None
    """Directory of profiles of a county's own, beside those that come with the program."""

    def __post_init__(self) -> None:
        if not 10 <= self.every <= 86400:
            raise ValueError("every is from 10s to 1d")
        if not 0.1 <= self.timeout <= 30 or not 0.1 <= self.device_deadline <= 300:
            raise ValueError("timeout is from 100ms to 30s, device_deadline from 100ms to 300s")
        if not 0 <= self.report <= 3600 or not 0 <= self.cached <= 60:
            raise ValueError("report is from 0s to 1h, cached from 0s to 60s")
        if not 0 <= self.retries <= 5 or not 1 <= self.side_by_side <= 256:
            raise ValueError("retries is from 0 to 5, side_by_side from 1 to 256")
        if not 1 <= self.max_ports <= 4096 or not 1 <= self.max_access_points <= 65536:
            raise ValueError("max_ports is from 1 to 4096, max_access_points from 1 to 65536")
        if len({device.id for device in self.devices}) < len(self.devices):
            raise ValueError("each device needs an id of its own")


def build(settings: Settings, site: Site) -> Probe:
    """The probe; nothing is sent yet. Raises SettingsError for a profile that is not there."""
    own = site.settings_directory / settings.profiles if settings.profiles else None
    known = profiles(own)
    for device in settings.devices:
        if device.profile is not None and device.profile not in known:
            raise SettingsError(
                f"key probes.snmp.devices: {device.id}: profile {device.profile} is not known; "
                f"allowed: {', '.join(sorted(known))}"
            )
    return Snmp(settings, site, known)


class Snmp:
    """Polls all devices side by side; keeps what it knows of each from poll to poll."""

    def __init__(self, settings: Settings, site: Site, known: Profiles) -> None:
        self._settings = settings
        self._site = site
        bounds = Bounds(
            max_ports=settings.max_ports,
            max_access_points=settings.max_access_points,
            # a poll that comes a little early shall not miss its turn
            report_seconds=max(0.0, settings.report - settings.every / 2),
            cached_seconds=float(settings.cached),
        )
        self._known = {
            device.id: DeviceState(device.profile, known, device.access_points, bounds)
            for device in settings.devices
        }

    def measure(self, run: Run) -> list[Point]:
        """Points of ports and access points. Raises ProbeFailed when no device answered, NoData when none is
        named.
        """
        if not self._settings.devices:
            raise NoData("no device is named in probes.snmp.devices")
        answers = asyncio.run(self._poll_all(run))
        failures = {name: str(each) for name, each in answers.items() if isinstance(each, Failed)}
        for name, reason in failures.items():
            log.warning("device_silent device=%s reason=%s", name, reason)
        if len(failures) == len(self._settings.devices):
            raise ProbeFailed("; ".join(f"{name}: {reason}" for name, reason in failures.items()))
        return [point for device in self._settings.devices for point in self._points(device, answers, run)]

    async def _poll_all(self, run: Run) -> Mapping[str, Watched | Failed]:
        devices = self._settings.devices
        reading = asyncio.Semaphore(self._settings.side_by_side)
        async with engine_for(devices) as engine:
            results = await asyncio.gather(
                *(self._poll_in_time(device, engine, reading, run) for device in devices)
            )
        return {device.id: result for device, result in zip(devices, results, strict=True)}

    async def _poll_in_time(
        self, device: Device, engine: Engine | None, reading: asyncio.Semaphore, run: Run
    ) -> Watched | Failed:
        """A device that does not greet takes no turn from those that do."""
        seconds = min(float(self._settings.device_deadline), run.remaining_seconds())
        try:
            async with opened(self._access(device), engine) as session:
                known = self._known[device.id]
                greeting = await asyncio.wait_for(known.greet(session), seconds)
                async with reading:
                    return await asyncio.wait_for(
                        known.watch(session, greeting, run.clock.monotonic_ns), seconds
                    )
        except TimeoutError:
            return Failed(f"did not come to an end within {seconds:g} s")
        except Failed as failure:
            return failure

    def _access(self, device: Device) -> Access:
        return access_of(
            device,
            self._site.settings_directory,
            timeout_seconds=float(self._settings.timeout),
            retries=self._settings.retries,
        )

    def _points(self, device: Device, answers: Mapping[str, Watched | Failed], run: Run) -> Iterator[Point]:
        watched = answers[device.id]
        if isinstance(watched, Failed):
            return
        age_ns = run.clock.monotonic_ns() - watched.poll.ended_ns
        time_ns = run.clock.wall_ns() - age_ns
        roles = {name: role_of(name, device, self._site.school) for name in watched.poll.ports}
        due = self._known[device.id].take(
            watched, lambda name: roles[name].role == "line", watched.poll.ended_ns
        )
        for name, fields in due:
            yield Point("interface", _tags(device, name, roles[name]), fields, time_ns)
        if watched.access_points:
            yield Point("access_points", {"device": device.id}, watched.access_points, time_ns)


@asynccontextmanager
async def engine_for(devices: Iterable[Device]) -> AsyncIterator[Engine | None]:
    """The library of version 3, loaded only where a device speaks it."""
    if all(device.version != "3" for device in devices):
        yield None
        return
    from agent.snmp.v3 import Engine  # noqa: PLC0415

    with Engine() as engine:
        yield engine


@asynccontextmanager
async def opened(access: Access, engine: Engine | None) -> AsyncIterator[Session]:
    """A session with one device. Raises Failed."""
    context = engine.asking(access) if engine is not None and access.version == "3" else v2c.asking(access)
    async with context as asker:
        yield Session(asker)


def access_of(device: Device, directory: Path, *, timeout_seconds: float, retries: int) -> Access:
    """How a device is reached; its secrets' files are below ``directory``."""

    def file(name: str | None) -> Path | None:
        return directory / name if name is not None else None

    return Access(
        host=device.host,
        port=device.port,
        version=device.version,
        timeout_seconds=timeout_seconds,
        retries=retries,
        community_file=file(device.community_file),
        user=device.user,
        auth=device.auth,
        auth_file=file(device.auth_file),
        priv=device.priv,
        priv_file=file(device.priv_file),
    )


def role_of(name: str, device: Device, school: School) -> PortRole:
    """What a port is for: as the probe's settings say, else as the school's devices do."""
    if name in device.ports:
        return device.ports[name]
    declared = next((each for each in school.devices if each.id == device.id), None)
    if declared is None:
        return PortRole()
    if name in declared.trunk_ports:
        return PortRole(role="trunk")
    return PortRole(role="access" if name in declared.access_ports else "other")


def _tags(device: Device, name: str, role: PortRole) -> dict[str, str]:
    line = {"line": role.line} if role.line is not None else {}
    return {"interface": name, "device": device.id, "role": role.role, **line}
