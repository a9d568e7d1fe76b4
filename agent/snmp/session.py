"""SNMP requests of one poll, behind a small interface. Only this file knows pysnmp."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

import msgspec

from agent.probe import ProbeFailed

Oid: TypeAlias = tuple[int, ...]
Value: TypeAlias = int | bytes
Columns: TypeAlias = dict[Oid, dict[Oid, Value]]
"""Column → index of the row → its value."""

MOST_SECRET_BYTES = 1024
REPETITIONS = 10


class Failed(Exception):
    """A device did not answer, or refused. The text holds no secret."""


class Access(msgspec.Struct, frozen=True):
    """How a device is reached. Secrets are named by their files, of mode 0600."""

    host: str
    port: int
    version: Literal["2c", "3"]
    timeout_seconds: float
    retries: int
    community_file: str | None = None
    user: str | None = None
    auth: str = "sha"
    auth_file: str | None = None
    priv: str = "aes"
    priv_file: str | None = None


_AUTH = {
    "md5": "USM_AUTH_HMAC96_MD5",
    "sha": "USM_AUTH_HMAC96_SHA",
    "sha224": "USM_AUTH_HMAC128_SHA224",
    "sha256": "USM_AUTH_HMAC192_SHA256",
    "sha384": "USM_AUTH_HMAC256_SHA384",
    "sha512": "USM_AUTH_HMAC384_SHA512",
}
_PRIV = {"des": "USM_PRIV_CBC56_DES", "aes": "USM_PRIV_CFB128_AES", "aes256": "USM_PRIV_CFB256_AES"}


def read_secret(file: str | None) -> str:
    """The one line of a secret's file. Raises Failed where others may read it, or it is empty."""
    path = Path(file or "")
    try:
        status = path.stat()
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Failed(f"{path}: others may read it; allowed is mode 0600")
        if not 0 < status.st_size <= MOST_SECRET_BYTES:
            raise Failed(f"{path}: holds no secret of 1 to {MOST_SECRET_BYTES} bytes")
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{path}: cannot be read: {type(error).__name__}") from None


class Engine:
    """One poll's SNMP engine, shared by its devices; used as a context manager inside a running loop."""

    def __enter__(self) -> Engine:
        try:
            from pysnmp.hlapi.v3arch import asyncio as library  # noqa: PLC0415
        except ImportError as error:
            raise ProbeFailed(f"SNMP needs pysnmp: {error}") from None
        self.library: Any = library
        self.engine: Any = library.SnmpEngine()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.close_dispatcher()

    async def open(self, access: Access) -> Session:
        """A session with one device; its name is looked up. Raises Failed."""
        target = self.library.UdpTransportTarget
        if _is_ipv6(access.host):
            target = self.library.Udp6TransportTarget
        credentials = self._credentials(access)
        try:
            transport = await target.create(
                (access.host, access.port), timeout=access.timeout_seconds, retries=access.retries
            )
        except Exception as error:  # noqa: BLE001
            raise Failed(f"{access.host} cannot be looked up: {type(error).__name__}") from None
        return Session(self, transport, credentials)

    def _credentials(self, access: Access) -> Any:
        if access.version == "2c":
            return self.library.CommunityData(read_secret(access.community_file), mpModel=1)
        keys: dict[str, Any] = {}
        if access.auth_file is not None:
            keys |= {
                "authKey": read_secret(access.auth_file),
                "authProtocol": getattr(self.library, _AUTH[access.auth]),
            }
        if access.priv_file is not None:
            keys |= {
                "privKey": read_secret(access.priv_file),
                "privProtocol": getattr(self.library, _PRIV[access.priv]),
            }
        return self.library.UsmUserData(access.user, **keys)


class Session:
    """One device, one request in flight."""

    def __init__(self, engine: Engine, transport: Any, credentials: Any) -> None:
        self._engine = engine
        self._transport = transport
        self._credentials = credentials

    async def get(self, oid: Oid) -> Value | None:
        """One value; None where the device does not have it. Raises Failed."""
        pairs = await self._ask(self._engine.library.get_cmd, [oid])
        return pairs[0][1] if pairs else None

    async def columns(self, wanted: Sequence[Oid], most_rows: int) -> Columns:
        """Whole columns by GETBULK, side by side. Raises Failed.

        A column ends where its answers leave it or do not grow, at the latest after ``most_rows``.
        """
        walks = [_Walk(column, most_rows) for column in wanted]
        while going := [walk for walk in walks if not walk.ended]:
            pairs = await self._ask(self._engine.library.bulk_cmd, [walk.last for walk in going], REPETITIONS)
            if not pairs:
                break
            for place, (oid, value) in enumerate(pairs):
                going[place % len(going)].take(oid, value)
        return {walk.column: walk.found for walk in walks}

    async def _ask(
        self, command: Any, oids: Sequence[Oid], repetitions: int | None = None
    ) -> list[tuple[Oid, Value | None]]:
        library = self._engine.library
        objects = [library.ObjectType(library.ObjectIdentity(oid)) for oid in oids]
        bulk = () if repetitions is None else (0, repetitions)
        try:
            failure, status, _, pairs = await command(
                self._engine.engine, self._credentials, self._transport, library.ContextData(),
                *bulk, *objects, lookupMib=False,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001
            raise Failed(f"the answer cannot be read: {type(error).__name__}") from None
        if failure or int(status):
            raise Failed(str(failure or f"refused with error status {int(status)}")[:200])
        return [(tuple(oid), _value(value)) for oid, value in pairs]


class _Walk:
    """One column as its rows come in. It ends where answers leave it or do not grow, so it always ends."""

    def __init__(self, column: Oid, most_rows: int) -> None:
        self.column = column
        self.last = column
        self.found: dict[Oid, Value] = {}
        self.ended = False
        self._most_rows = most_rows

    def take(self, oid: Oid, value: Value | None) -> None:
        """One answered pair: a row, or the column's end."""
        size = len(self.column)
        full = len(self.found) >= self._most_rows
        if self.ended or full or value is None or oid[:size] != self.column or oid <= self.last:
            self.ended = True
            return
        self.found[oid[size:]] = value
        self.last = oid


def _value(value: Any) -> Value | None:
    """A pysnmp value as an integer or octets; None for «no such object» and the end of the view."""
    if hasattr(value, "asOctets"):
        return bytes(value.asOctets())
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def rows(columns: Columns, names: Mapping[str, Oid]) -> dict[Oid, dict[str, Value]]:
    """Columns → rows by index, with the names given."""
    table: dict[Oid, dict[str, Value]] = {}
    for name, column in names.items():
        for index, value in columns.get(column, {}).items():
            table.setdefault(index, {})[name] = value
    return table
