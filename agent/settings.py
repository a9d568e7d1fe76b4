"""The agent's settings: one strict YAML file, every bound in it with its default."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from agent.catalogue import PROBES, PlannedProbe, planned
from agent.central_addresses import is_entry
from agent.probe import Site
from config.packages import public_key
from config.school import School
from config.settings import SettingsError, load
from config.units import Bytes, Seconds

if TYPE_CHECKING:
    from agent.credentials import Credential
    from config.plan import Plan

MAX_TOKEN_BYTES = 4096
MIN_SPOOL_BYTES = 256 * 1024
MIN_RESERVE_BYTES = 512 * 1024

Hours = Literal["always", "school", "outside_school"]


class Secret(str):
    """A text that does not show itself in a repr, so neither in a log, a traceback or a struct's repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every block of the file has in common."""


class CollectorSettings(_Strict, frozen=True):
    """Where the points go. ``ca_file`` replaces the system's certificates for an ``https`` address."""

    url: str
    """Address of the collector, http:// or https://."""
    token_file: str
    """File of mode 0600 that holds this agent's token."""
    ca_file: str | None = None


class SpoolSettings(_Strict, frozen=True):
    """The durable queue. A point is acknowledged or on disk within ``flush`` (``flush_away`` in an outage).

    A batch waits at most ``hold`` of that time in memory for the collector to take it, which spares the flash
    while all is well; ``hold: 0s`` writes every batch before it is sent. ``reserve`` is kept on disk to
    have room to evict in when the disk is full.
    """

    max_bytes: Bytes = Bytes(64 * 2**20)
    """Size of the spool on disk; the oldest batches go first."""
    max_age: Seconds = Seconds(6 * 86400)
    """Older batches are dropped; not longer than the collector takes (ingest.spool_limit)."""
    max_batches: int = 250_000
    """Number of batches on disk."""
    flush: Seconds = Seconds(10)
    flush_away: Seconds = Seconds(60)
    """What flush becomes, where longer, while the collector is away and older batches wait on disk."""
    hold: Seconds = Seconds(2)
    batch_points: int = 2000
    """A batch is closed at so many points before its time."""
    memory_max_bytes: Bytes = Bytes(2**20)
    """What may wait in memory."""
    reserve: Bytes = Bytes(512 * 2**10)
    set_aside_batches: int = 100
    """How many batches that the collector refused are kept for a look."""


class PushSettings(_Strict, frozen=True):
    """How batches are sent. ``backlog_pause`` bounds the rate at which old ones follow."""

    timeout: Seconds = Seconds(15)
    """Of one whole exchange with the collector."""
    backlog_pause: Seconds = Seconds(0.2)
    backlog_points: int = 2000
    """Old batches travel together, up to so many points in one push."""
    backoff_first: Seconds = Seconds(1)
    """The first pause after a failed push, drawn at random up to this; it doubles each time."""
    backoff_max: Seconds = Seconds(300)
    """The longest such pause."""
    refused_pause: Seconds = Seconds(60)
    """The pause after the collector refused the token; it doubles each time."""
    refused_pause_max: Seconds = Seconds(600)
    """The longest such pause."""
    retry_after_max: Seconds = Seconds(3600)
    """The longest wait that the collector may ask for."""


class HeartbeatSettings(_Strict, frozen=True):
    """``every`` holds until the collector answers with its own interval, never below ``every_min``."""

    every: Seconds = Seconds(30)
    every_min: Seconds = Seconds(1)
    every_max: Seconds = Seconds(300)
    """The longest interval that the collector may ask for."""
    timeout: Seconds = Seconds(5)
    """Of one heartbeat."""
    refused_pause: Seconds = Seconds(60)
    """The least interval after the collector refused the token."""


class Mute(_Strict, frozen=True):
    """A time in which probes keep silent, an exam say; ``probes`` empty means every timed probe."""

    start: datetime
    """From when; local time where no offset is written."""
    end: datetime
    """Until when."""
    why: str = ""
    """Said in the log."""
    probes: tuple[str, ...] = ()


class ScheduleSettings(_Strict, frozen=True):
    """When probes run. The first run of a timed probe is a random part of ``start_pause`` after the start,
    so that a county's agents do not all test at once when power returns; ``jitter`` is added at random to
    every later one. ``hours`` narrows a probe to lessons or keeps it out of them.
    """

    start_pause: Seconds = Seconds(60)
    jitter: Seconds = Seconds(0)
    hours: dict[str, Hours] = {}
    mute: tuple[Mute, ...] = ()
    """Times of silence."""
    timezone: str = "Asia/Shanghai"
    """The local time of mute and of hours."""


class RunnerSettings(_Strict, frozen=True):
    """``deadline`` is what a run may take beyond the window of a watching probe."""

    deadline: Seconds = Seconds(60)
    report_every: Seconds = Seconds(60)
    """How often a continuous probe's state is told, and the agent's own."""


class LogSettings(_Strict, frozen=True):
    """``repeat`` is the least time between two log lines that say the same."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are written."""
    repeat: Seconds = Seconds(300)


class MetricsSettings(_Strict, frozen=True):
    """``GET /metrics`` of the agent, for a Prometheus on the same host."""

    listen: str = "127.0.0.1:9108"
    """Address and port; empty for none. Whoever reaches it reads it: there is no password."""

    def __post_init__(self) -> None:
        if self.listen:
            host, port = self.address
            if not host or not 0 < port < 65536:
                raise ValueError(
                    f"listen {self.listen!r}: address:port or [address]:port is allowed, or empty"
                )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.listen.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port) if port.isdecimal() else 0


class KernelSettings(_Strict, frozen=True):
    """Where the kernel's files are mounted."""

    proc: str = "/proc"
    """The proc file system."""
    sys: str = "/sys"
    """The sys file system."""


class CentralSettings(_Strict, frozen=True):
    """What the county may have this agent do. It never sets files, programs, or where the points go."""

    enabled: bool = True
    """Off: only this file says what is measured."""
    addresses: tuple[str, ...] = (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "fc00::/7",
    )
    """Networks, addresses and names («*.county.example») that the county may have asked, pinged and polled,
    beside the default gateway and the collector."""
    every: Seconds = Seconds(900)
    """How often its configuration is asked for, where no heartbeat's answer tells of a new one."""
    pause: Seconds = Seconds(5)
    """The least time between two such questions; each is moved by a random part of it."""
    probation: Seconds = Seconds(120)
    """If a probe breaks or the agent ends within that time of a new configuration, the last good one holds
    again."""


class UpgradeSettings(_Strict, frozen=True):
    """Versions of the agent from the county's own store, each signed by a key of ``keys``."""

    enabled: bool = True
    """Off: only what is installed here by hand runs."""
    keys: tuple[str, ...] = ()
    """Public keys, like ed25519:…, that the county's packages may be signed by; enrolment writes them.
    Without any no package is taken."""
    spread: Seconds = Seconds(600)
    """A version is fetched at random within that time after it was told, so that schools do not all come at
    once."""
    trial: Seconds = Seconds(600)
    """A new version that the collector has not heard by then is left for the one before, and tried once more
    after that one ran for as long."""
    settle: Seconds = Seconds(60)
    """And one that it heard is kept when it has run so long."""
    max_bytes: Bytes = Bytes(256 * 2**20)
    """Of a package, unpacked."""
    spare: Bytes = Bytes(64 * 2**20)
    """Room that must be left on the disk."""
    timeout: Seconds = Seconds(1800)
    """Of one whole package."""
    pause: Seconds = Seconds(300)
    """The pause after a package that could not be fetched; it doubles each time, up to a day."""


class AgentSettings(_Strict, frozen=True):
    """The whole file. Paths in it are relative to it."""

    school: School
    """The school that this agent stands in."""
    plan: str | None = None
    """Id of a plan that comes with the program; shandan when neither it nor plan_file is given."""
    plan_file: str | None = None
    """A plan of the county's own."""
    stands_on: Literal["gateway", "lan"] = "gateway"
    """On the gateway itself, or on a box in the LAN behind it."""
    state_directory: str = "state"
    """Where the spool is kept."""
    collector: CollectorSettings | None = None
    """Absent, the agent measures and keeps nothing."""
    spool: SpoolSettings = SpoolSettings()
    push: PushSettings = PushSettings()
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    runner: RunnerSettings = RunnerSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    central: CentralSettings = CentralSettings()
    upgrade: UpgradeSettings = UpgradeSettings()
    kernel: KernelSettings = KernelSettings()
    probes: dict[str, Any] = {}
    """What is measured; each name is a probe of this reference."""


class LoadedSettings(msgspec.Struct, frozen=True):
    """Settings that passed every rule, with the file they came from and their probes."""

    file: Path
    settings: AgentSettings
    probes: tuple[PlannedProbe, ...]
    plan: Plan | None = None
    """The county's plan, where it sent one whole."""

    def path(self, written: str) -> Path:
        """A path as it is meant: relative to the file that names it."""
        return self.file.parent / written

    @property
    def plan_id(self) -> str | None:
        """The id of the shipped plan to judge by; None when ``plan_file`` names another."""
        return None if self.settings.plan_file else self.settings.plan or "shandan"

    @property
    def plan_file(self) -> Path | None:
        """The file of the plan to judge by, when it is not a shipped one."""
        return self.path(self.settings.plan_file) if self.settings.plan_file else None

    @property
    def state_directory(self) -> Path:
        """Where the spool is."""
        return self.path(self.settings.state_directory)

    @property
    def ca_file(self) -> Path | None:
        """The certificates that the collector's must follow from; None means the system's."""
        collector = self.settings.collector
        return self.path(collector.ca_file) if collector and collector.ca_file else None

    def token(self) -> Secret:
        """Read the agent's token. Raises SettingsError, one line, that never holds it."""
        collector = self.settings.collector
        if collector is None:
            raise SettingsError(f"{self.file}: key collector: is missing; it needs url and token_file")
        return read_token(self.path(collector.token_file), str(self.file))

    def credential(self) -> Credential:
        """The agent's token as its file has it at each moment. Raises SettingsError."""
        from agent.credentials import Credential  # noqa: PLC0415 (it needs Secret from here)

        self.token()
        collector = self.settings.collector
        return Credential(self.path(collector.token_file if collector else ""), str(self.file))

    def site(self, token: Secret | None = None, credential: Callable[[], str] | None = None) -> Site:
        """What the probes are told of the place. Without either they can ask the collector for nothing."""
        collector = self.settings.collector
        return Site(
            school=self.settings.school,
            stands_on=self.settings.stands_on,
            collector_url=collector.url.rstrip("/") if collector else None,
            collector_token=token,
            credential=credential,
            collector_ca_file=self.ca_file,
            state_directory=self.state_directory,
            settings_directory=self.file.parent,
            devices=next((each.settings.devices for each in self.probes if each.name == "snmp"), ()),
            proc=self.path(self.settings.kernel.proc),
            sys=self.path(self.settings.kernel.sys),
        )


def load_settings(file: Path, package: str = PROBES) -> LoadedSettings:
    """Read and check the agent's settings. Raises SettingsError: one line with file, key, what is allowed."""
    return checked_settings(file, load(file, AgentSettings), package)


def checked_settings(
    file: Path, settings: AgentSettings, package: str = PROBES, plan: Plan | None = None
) -> LoadedSettings:
    """Check what the types of the settings cannot say. ``file`` is named in what is raised: SettingsError."""
    probes = tuple(planned(name, value, str(file), package) for name, value in settings.probes.items())
    loaded = LoadedSettings(file=file, settings=settings, probes=probes, plan=plan)
    for key, problem in _problems(loaded):
        raise SettingsError(f"{file}: key {key}: {problem}")
    return loaded


def read_token(path: Path, file: str) -> Secret:
    """The one line of a token file, its owner's alone. Raises SettingsError, which never holds the token."""
    where = f"{file}: key collector.token_file: {path}"
    try:
        status = path.stat()
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mode = stat.S_IMODE(status.st_mode)
            raise SettingsError(
                f"{where} has mode {mode:04o}; allowed is 0600, so that others cannot read it"
            )
        text = path.read_bytes()[: MAX_TOKEN_BYTES + 1].decode("ascii").strip()
    except FileNotFoundError:
        raise SettingsError(f"{where}: no such file") from None
    except OSError as error:
        raise SettingsError(f"{where} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or " " in text or not 1 <= len(text) <= MAX_TOKEN_BYTES:
        raise SettingsError(f"{where} must hold one line of 1 to {MAX_TOKEN_BYTES} printable characters")
    return Secret(text)


Problem = tuple[str, str]


def _problems(loaded: LoadedSettings) -> Iterator[Problem]:
    settings = loaded.settings
    if settings.plan and settings.plan_file:
        yield "plan_file", "is given beside plan; allowed is one of the two"
    if loaded.plan_file and not loaded.plan_file.is_file():
        yield "plan_file", f"{loaded.plan_file}: no such file"
    if settings.collector:
        yield from collector_problems(settings.collector, loaded.ca_file)
    yield from _range_problems(settings)
    for number, entry in enumerate(settings.central.addresses):
        if not is_entry(entry):
            yield (
                f"central.addresses[{number}]",
                f"{entry!r} is no network, address or name; allowed: 10.0.0.0/8",
            )
    yield from _upgrade_problems(settings.upgrade)
    yield from _probe_problems(loaded)
    yield from _schedule_problems(settings)


def collector_problems(collector: CollectorSettings, ca_file: Path | None) -> Iterator[Problem]:
    """Each key that names the collector wrongly, and what is allowed there."""
    allowed = "allowed is http:// or https:// with a host, and no user, query or fragment"
    try:
        url = urlsplit(collector.url)
        bad = not url.hostname or url.scheme not in ("http", "https") or url.port == 0
        bad = bad or bool(url.username or url.password or url.query or url.fragment)
    except ValueError:
        bad = True
    if bad or not collector.url.isascii() or not collector.url.isprintable() or " " in collector.url:
        yield "collector.url", allowed
    elif ca_file and url.scheme != "https":
        yield "collector.ca_file", "is given with an address that is not https://"
    elif ca_file and not ca_file.is_file():
        yield "collector.ca_file", f"{ca_file}: no such file"


def _range_problems(settings: AgentSettings) -> Iterator[Problem]:
    spool = settings.spool
    if spool.max_bytes < MIN_SPOOL_BYTES:
        yield "spool.max_bytes", "allowed is 256KiB or more"
    if 0 < spool.reserve < MIN_RESERVE_BYTES:
        yield "spool.reserve", "allowed is 512KiB or more, or 0B for none"
    if spool.hold >= spool.flush:
        yield "spool.hold", "allowed is less than spool.flush"
    for key, block, name in _POSITIVE:
        if getattr(getattr(settings, block), name) <= 0:
            yield key, "allowed is more than 0"
    if settings.heartbeat.every_min > settings.heartbeat.every_max:
        yield "heartbeat.every_min", "allowed is at most heartbeat.every_max"


_POSITIVE = [
    (f"{block}.{name}", block, name)
    for block, members in {
        "spool": ("max_age", "max_batches", "batch_points", "memory_max_bytes", "set_aside_batches"),
        "push": (
            "timeout",
            "backlog_points",
            "backoff_first",
            "backoff_max",
            "refused_pause",
            "retry_after_max",
        ),
        "heartbeat": ("every", "every_min", "timeout"),
        "central": ("every", "pause"),
        "runner": ("deadline", "report_every"),
        "upgrade": ("max_bytes", "timeout", "pause"),
    }.items()
    for name in members
]


def _upgrade_problems(upgrade: UpgradeSettings) -> Iterator[Problem]:
    for number, key in enumerate(upgrade.keys):
        try:
            public_key(key)
        except ValueError as error:
            yield f"upgrade.keys[{number}]", str(error)
    if upgrade.settle >= upgrade.trial:
        yield "upgrade.settle", "allowed is less than upgrade.trial"


def _probe_problems(loaded: LoadedSettings) -> Iterator[Problem]:
    for probe in loaded.probes:
        for name in ("every", "window"):
            if getattr(probe.settings, name, 1) <= 0:
                yield f"probes.{probe.name}.{name}", "allowed is more than 0s"


def _schedule_problems(settings: AgentSettings) -> Iterator[Problem]:
    schedule = settings.schedule
    named: dict[str, tuple[str, ...]] = {
        "schedule.hours": tuple(schedule.hours),
        **{f"schedule.mute[{n}].probes": mute.probes for n, mute in enumerate(schedule.mute)},
    }
    for key, listed in named.items():
        for name in listed:
            if name not in settings.probes:
                yield key, f"{name} is none of the probes above; allowed: {', '.join(settings.probes)}"
    try:
        zone = ZoneInfo(schedule.timezone)
    except (KeyError, ValueError, OSError):
        yield (
            "schedule.timezone",
            f"{schedule.timezone!r} is no time zone; allowed is a name like Asia/Shanghai",
        )
        return
    for number, mute in enumerate(schedule.mute):
        if aware(mute.end, zone) <= aware(mute.start, zone):
            yield f"schedule.mute[{number}].end", "allowed is a time after start"


def aware(moment: datetime, zone: ZoneInfo) -> datetime:
    """A moment written without an offset is the school's local time."""
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
