"""The settings of the collector: one YAML file, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from collector.access.settings import AccessSettings, RegionSettings
from collector.enrolment.settings import EnrolmentSettings, TlsSettings
from collector.incidents.settings import IncidentSettings
from collector.messages.settings import MessageSettings
from collector.messages.settings import contradictions as contradictions_of_messages
from collector.packages.settings import PackageSettings
from collector.reports.settings import ReportSettings
from collector.reports.settings import contradictions as contradictions_of_reports
from collector.responder.settings import ResponderSettings
from collector.terminals.settings import TerminalSettings
from collector.uptime.settings import UptimeSettings
from collector.web.settings import WebSettings
from config.settings import SettingsError, load
from config.units import Bytes, Seconds

MIB = 1024 * 1024
DAY_SECONDS = 86400

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where pages, API and ingest are served. Port 0 lets the system choose one."""

    host: str = "127.0.0.1"
    """Address to listen on; readers log in, and their passwords need TLS: keep it on loopback behind a proxy
    that has a certificate, or on a network of your own."""
    port: Port = 8080
    """TCP port."""
    max_connections: Count = 1024
    """Connections at one time."""
    max_connections_per_address: Count = 256
    """Connections of one address at one time."""
    metrics: Literal["loopback", "anyone", "off"] = "loopback"
    """Who may read /metrics, the collector's own counts for Prometheus."""
    header_deadline: Seconds = Seconds(10)
    """A connection that has not sent its whole request head by then is closed."""
    tls: TlsSettings | None = None
    """Serve https by this certificate; absent, http: for loopback, or behind a proxy that has one."""

    def origin(self, host: str, port: int) -> str:
        """What a browser that reaches us at that host and port calls us."""
        named = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls else 'http'}://{named}:{port}"


class Ingest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of what agents may send."""

    max_body_bytes: Bytes = Bytes(4 * MIB)
    """Of a body as sent, compressed or not."""
    max_decoded_bytes: Bytes = Bytes(16 * MIB)
    """Of a body once decompressed; counted while it is decompressed."""
    max_lines: Count = 100_000
    """Of a body: a line that is refused takes memory however short it is."""
    max_bytes_in_flight: Bytes = Bytes(64 * MIB)
    """Of all bodies that are being received at one time."""
    max_requests_per_agent: Count = 8
    """At one time; more get 429."""
    body_deadline: Seconds = Seconds(30)
    """A body that is not whole by then is refused."""
    max_series_per_agent: Count = 5000
    """Series of one agent; points of further ones are set aside."""
    spool_limit: Seconds = Seconds(6 * DAY_SECONDS)
    """Points older than this are set aside: no agent keeps them longer."""
    future_limit: Seconds = Seconds(600)
    """Points dated later than this from now are set aside."""
    set_aside_bytes: Bytes = Bytes(4 * MIB)
    """Of the file of points set aside; one older file is kept beside it."""
    retry_after: Seconds = Seconds(5)
    """What an answer of 429 or 503 asks the agent to wait."""
    backlog_bytes: Bytes = Bytes(4 * MIB)
    """While more than this waits in the journal, what agents kept through an outage is asked to come later:
    what is new is not late behind it."""


class JournalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of the journal."""

    max_bytes: Bytes = Bytes(1024 * MIB)
    """Of all segments; a full journal refuses with 503."""
    segment_bytes: Bytes = Bytes(16 * MIB)
    """Of one segment."""
    reserve_bytes: Bytes = Bytes(64 * MIB)
    """With less than this free on the disk nothing is acknowledged."""


class InfluxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An InfluxDB of the county's own."""

    url: str
    """http:// or https:// with host and port; through it go the write API of 2.x and /query."""
    token_file: str = ""
    """A file of mode 0600 with the token (2.x) or user:password (1.8); empty, none is sent."""
    org: str = "xiaotong"
    """The organisation of 2.x."""
    bucket: str = "xiaotong"
    """The bucket (1.8: database) of raw points; windows and other measurements stand in bucket_5m, bucket_1h,
    bucket_1d and bucket_others. They are made where they are missing, and then keep what the settings
    say."""
    ca_file: str = ""
    """Certificates that the server's must follow from; empty means the system's."""
    timeout: Seconds = Seconds(10)
    """Of one request."""


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The store and how long it keeps what."""

    engine: Literal["embedded", "influxdb", "influxdb3"] = "embedded"
    """Where points are kept: in one file here, in InfluxDB 1.8 or 2.x, or here with a copy of the raw points
    written to InfluxDB 3 (experimental)."""
    influxdb: InfluxSettings | None = None
    """Where that InfluxDB is."""
    raw: Seconds = Seconds(7 * DAY_SECONDS)
    """How long points are kept as measured."""
    five_minutes: Seconds = Seconds(90 * DAY_SECONDS)
    """How long windows of 5 minutes are kept."""
    hourly: Seconds = Seconds(400 * DAY_SECONDS)
    """How long windows of an hour are kept."""
    daily: Seconds = Seconds(3650 * DAY_SECONDS)
    """How long windows of a day are kept."""
    day_offset: Seconds = Seconds(8 * 3600)
    """A stored day begins this long before 00:00 UTC: 8h is midnight in China."""
    fold_every: Seconds = Seconds(5)
    """How often windows are made from the points that came meanwhile."""
    catch_up: Bytes = Bytes(4 * MIB)
    """Of the journal written in a second when the store was away: new points go before the backlog."""


class RegistrySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The database of schools, agents and verdicts."""

    url: str = ""
    """Of SQLAlchemy, SQLite or PostgreSQL; empty is the SQLite file registry.db in the data directory."""
    refresh: Seconds = Seconds(1)
    """What another process adds or revokes holds after that."""


class VerdictSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is judged, by which calendar, and how often."""

    plans: tuple[str, ...] = ()
    """The county's own plans, ids of shipped ones or files; without any nothing is judged."""
    calendar: str = ""
    """A calendar file; empty is China's public holidays without terms."""
    rejudge: Seconds = Seconds(300)
    """How often a school is judged again though nothing new came: evidence ages."""
    evidence: Seconds = Seconds(180 * DAY_SECONDS)
    """How long evidence is kept at all: longer than 40 school days with the summer between them."""


class CollectorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything of one collector. ``data_directory`` is taken from the working directory."""

    data_directory: str
    org: str = "xiaotong"
    """The organisation that writers name."""
    bucket: str = "raw"
    """The bucket of our agents' measurements."""
    others_bucket: str = "others"
    """The bucket of other measurements, for tokens that may write them."""
    heartbeat: Seconds = Seconds(5)
    """How often agents are asked to say that they live."""
    public_url: str = ""
    """Where people reach the pages, like https://xiaotong.county.example: what messages link to. Empty, they
    have no link."""
    pdf_font_file: str = ""
    """A .ttf or .ttc file with Chinese characters for PDFs; empty, one of the system's is looked for."""
    notice: str = ""
    """A sentence at the top of every page, «maintenance tonight from 22:00»."""
    listen: Listen = Listen()
    access: AccessSettings = AccessSettings()
    region: RegionSettings = RegionSettings()
    enrolment: EnrolmentSettings = EnrolmentSettings()
    packages: PackageSettings = PackageSettings()
    ingest: Ingest = Ingest()
    journal: JournalSettings = JournalSettings()
    store: StoreSettings = StoreSettings()
    registry: RegistrySettings = RegistrySettings()
    verdicts: VerdictSettings = VerdictSettings()
    uptime: UptimeSettings = UptimeSettings()
    terminals: TerminalSettings = TerminalSettings()
    reports: ReportSettings = ReportSettings()
    web: WebSettings = WebSettings()
    incidents: IncidentSettings = IncidentSettings()
    messages: MessageSettings = MessageSettings()
    responder: ResponderSettings | None = None
    """The far end of capacity tests; absent, this collector has none and issues no tickets."""

    @property
    def address(self) -> str:
        """Where people and agents reach this collector: ``public_url``, else where it listens."""
        return self.public_url.rstrip("/") or self.listen.origin(self.listen.host, self.listen.port)

    @property
    def registry_url(self) -> str:
        """The URL of the registry's database."""
        return self.registry.url or f"sqlite:///{self.data.absolute() / 'registry.db'}"

    @property
    def data(self) -> Path:
        """The data directory."""
        return Path(self.data_directory)


def load_settings(path: Path) -> CollectorSettings:
    """Read and check settings. Raises SettingsError, one line: file, key, what is allowed."""
    settings = load(path, CollectorSettings)
    for wrong in _contradictions(settings):
        raise SettingsError(f"{path}: {wrong}")
    return settings


def _contradictions(settings: CollectorSettings) -> list[str]:
    store, ingest, journal = settings.store, settings.ingest, settings.journal
    checks = [
        (not settings.data_directory, "key data_directory: is empty"),
        (
            store.raw < ingest.spool_limit + DAY_SECONDS,
            "key store.raw: at least one day more than ingest.spool_limit is allowed",
        ),
        (store.five_minutes < store.raw, "key store.five_minutes: at least store.raw is allowed"),
        (store.hourly < store.five_minutes, "key store.hourly: at least store.five_minutes is allowed"),
        (store.daily < store.hourly, "key store.daily: at least store.hourly is allowed"),
        (
            DAY_SECONDS % settings.uptime.minute != 0 if settings.uptime.minute > 0 else True,
            "key uptime.minute: a length of which a day holds a whole number is allowed, like 60s",
        ),
        (
            journal.max_bytes < 2 * journal.segment_bytes,
            "key journal.max_bytes: at least twice journal.segment_bytes is allowed",
        ),
        (
            journal.segment_bytes < ingest.max_decoded_bytes / 4,
            "key journal.segment_bytes: at least a quarter of ingest.max_decoded_bytes is allowed",
        ),
        (
            ingest.backlog_bytes >= journal.max_bytes,
            "key ingest.backlog_bytes: less than journal.max_bytes is allowed",
        ),
        (
            settings.bucket == settings.others_bucket,
            "key others_bucket: another name than bucket is allowed",
        ),
        (
            store.engine != "embedded" and store.influxdb is None,
            f"key store.influxdb: is missing; engine {store.engine} needs it",
        ),
        (
            store.influxdb is not None and not _is_address(store.influxdb.url),
            "key store.influxdb.url: http:// or https:// with a host, and no user, is allowed",
        ),
        (
            settings.public_url != "" and not _is_address(settings.public_url),
            "key public_url: http:// or https:// with a host, and no user, is allowed",
        ),
        (store.day_offset >= DAY_SECONDS, "key store.day_offset: less than 24h is allowed"),
        *settings.access.contradictions(),
        *settings.region.contradictions(),
        *(settings.responder.contradictions() if settings.responder else ()),
        (
            settings.enrolment.rotate_every < 2 * settings.enrolment.overlap,
            "key enrolment.rotate_every: at least twice enrolment.overlap is allowed",
        ),
    ]
    return [
        *(text for wrong, text in checks if wrong),
        *contradictions_of_messages(settings.messages),
        *contradictions_of_reports(settings.reports, settings.messages.channels.email),
    ]


def _is_address(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in {"http", "https"} and bool(url.hostname) and not url.username and url.port != 0
    except ValueError:
        return False
