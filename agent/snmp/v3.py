"""Version 3 with authentication and privacy (RFC 3414, 3826): only this file knows pysnmp."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

from agent.probe import ProbeFailed
from agent.snmp.ber import Oid, Pairs, Value
from agent.snmp.session import Access, Failed, read_secret

_AUTH = {
    "md5": "USM_AUTH_HMAC96_MD5",
    "sha": "USM_AUTH_HMAC96_SHA",
    "sha224": "USM_AUTH_HMAC128_SHA224",
    "sha256": "USM_AUTH_HMAC192_SHA256",
    "sha384": "USM_AUTH_HMAC256_SHA384",
    "sha512": "USM_AUTH_HMAC384_SHA512",
}
_PRIV = {"des": "USM_PRIV_CBC56_DES", "aes": "USM_PRIV_CFB128_AES", "aes256": "USM_PRIV_CFB256_AES"}


class Engine:
    """One poll's SNMP engine, shared by its devices; used as a context manager inside a running loop."""

    def __enter__(self) -> Engine:
        try:
            from pysnmp.hlapi.v3arch import asyncio as library  # noqa: PLC0415
        except ImportError as error:
            raise ProbeFailed(f"SNMP version 3 needs pysnmp: {error}") from None
        self.library: Any = library
        self.engine: Any = library.SnmpEngine()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.close_dispatcher()

    @asynccontextmanager
    async def asking(self, access: Access) -> AsyncIterator[AskerV3]:
        """Ask a device for as long as the context lasts. Raises Failed."""
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
        yield AskerV3(self, transport, credentials)

    def _credentials(self, access: Access) -> Any:
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


class AskerV3:
    """One device, one request in flight."""

    def __init__(self, engine: Engine, transport: Any, credentials: Any) -> None:
        self._engine = engine
        self._transport = transport
        self._credentials = credentials

    async def ask(self, oids: Sequence[Oid], repetitions: int | None) -> tuple[int, Pairs]:
        """Error status and pairs. Raises Failed."""
        library = self._engine.library
        objects = [library.ObjectType(library.ObjectIdentity(oid)) for oid in oids]
        bulk = () if repetitions is None else (0, repetitions)
        command = library.get_cmd if repetitions is None else library.bulk_cmd
        try:
            failure, status, _, pairs = await command(
                self._engine.engine, self._credentials, self._transport, library.ContextData(),
                *bulk, *objects, lookupMib=False,
            )  # fmt: skip
            found = [(tuple(int(arc) for arc in oid), _value(value)) for oid, value in pairs]
        except Exception as error:  # noqa: BLE001
            raise Failed(f"the answer cannot be read: {type(error).__name__}") from None
        if failure:
            raise Failed(str(failure)[:200])
        return int(status), found


def _value(value: Any) -> Value | None:
    """A pysnmp value; None for «no such object» and the end of the view."""
    if hasattr(value, "asOctets"):
        return bytes(value.asOctets())
    if type(value).__name__ == "ObjectIdentifier":
        return tuple(int(arc) for arc in value)
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False
