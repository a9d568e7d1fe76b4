"""Enrolment, replacement of tokens and configuration, as agents ask for them."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path
from typing import TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from collector.access import Permission, permitted
from collector.access.origin import client_address, is_loopback
from collector.bodies import BODY_SECONDS, TooLong, body_of, json_of
from collector.enrolment.guesses import TooManyGuesses
from collector.enrolment.invitations import NotOpened
from collector.enrolment.room import EnrolmentRoom
from collector.enrolment.sealing import has_secrets
from collector.enrolment.tokens import Identified, is_digest
from collector.ingest.credentials import token_of
from collector.packages.keys import trusted_keys
from collector.registry import RegistryError
from collector.settings import CollectorSettings
from config.settings import SettingsError

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 2048
CA_PATH, ENROL_PATH = "/api/v1/enrol/ca", "/api/v1/enrol"
TOKEN_PATH, PROOF_PATH = "/api/v1/agent/token", "/api/v1/agent/token/proof"
CONFIG_PATH = "/api/v1/agent/config"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+?-----END CERTIFICATE-----")

T = TypeVar("T")


class EnrolRequest(msgspec.Struct, frozen=True):
    """A code, and the SHA-256 of the token that it shall make good."""

    code: str
    token_digest: str


class TokenRequest(msgspec.Struct, frozen=True):
    """The SHA-256 of an agent's next token."""

    token_digest: str


class Refusal(Exception):
    """An answer that is no success: status, reason in one line, seconds to wait."""

    def __init__(self, status: int, reason: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after_seconds = retry_after_seconds

    def response(self) -> Response:
        """The answer as it is sent."""
        wait = math.ceil(self.retry_after_seconds)
        return JSONResponse({"reason": str(self)}, self.status, {"Retry-After": str(wait)} if wait else None)


def enrolment_routes(room: EnrolmentRoom, settings: CollectorSettings) -> list[BaseRoute]:
    """The routes of this room."""
    routes = Routes(room, settings)
    agent, public = Permission.AGENT, Permission.PUBLIC
    return [
        permitted(public, Route(ENROL_PATH, routes.enrol, methods=["POST"])),
        permitted(public, Route(CA_PATH, routes.authority, methods=["GET"])),
        permitted(agent, Route(TOKEN_PATH, routes.announce, methods=["POST"])),
        permitted(agent, Route(PROOF_PATH, routes.prove, methods=["POST"])),
        permitted(agent, Route(CONFIG_PATH, routes.config, methods=["GET"])),
    ]


class Routes:
    """The answers."""

    def __init__(self, room: EnrolmentRoom, settings: CollectorSettings) -> None:
        self._room = room
        self._settings = settings

    async def enrol(self, request: Request) -> Response:
        """A code for a token that is good from now on."""
        try:
            return await self._enrolled(request)
        except Refusal as refusal:
            return refusal.response()

    async def _enrolled(self, request: Request) -> Response:
        address = client_address(request, self._settings.access.proxies)
        self._refuse_guesser(address)
        asked = await _asked(request, EnrolRequest)
        _refuse_no_digest(asked.token_digest)
        try:
            enrolled = await run_in_threadpool(self._room.enrol, address, asked.code, asked.token_digest)
        except NotOpened as reason:
            log.warning("enrolment refused address=%s reason=%s", address, reason)
            raise Refusal(403, str(reason)) from None
        except TooManyGuesses as many:
            raise Refusal(429, str(many), many.wait_seconds) from None
        log.info("enrolled agent=%s school=%s address=%s", enrolled.agent, enrolled.school, address)
        keys = await run_in_threadpool(self._package_keys)
        told = {"package_keys": keys} if keys else {}
        return JSONResponse({"agent": enrolled.agent, "school": enrolled.school, **told})

    def _package_keys(self) -> list[str]:
        """What packages may be signed by. A file that cannot be read costs no agent its enrolment."""
        try:
            return list(trusted_keys(self._settings))
        except SettingsError as error:
            log.error("package keys not told reason=%s", error)  # noqa: TRY400
            return []

    def _refuse_guesser(self, address: str) -> None:
        """Before its body is read; once more when its code is looked at."""
        wait = self._room.guesses.wait_seconds(address)
        if wait > 0:
            raise Refusal(429, str(TooManyGuesses(wait)), wait)

    async def authority(self, _request: Request) -> Response:
        """The certificate that the county's agents trust; 404 where every system's will do."""
        text = await run_in_threadpool(authority_of, self._settings)
        if text is None:
            return Refusal(404, "this collector has no certificate of its own").response()
        return Response(text, media_type="application/x-pem-file")

    async def announce(self, request: Request) -> Response:
        """An agent's next token."""
        try:
            asked = await _asked(request, TokenRequest)
            _refuse_no_digest(asked.token_digest)
            identity, token = _agent(request), token_of(request)
            await run_in_threadpool(
                self._room.tokens.announce, identity, token, asked.token_digest, self._room.now()
            )
        except Refusal as refusal:
            return refusal.response()
        except RegistryError as error:
            return Refusal(409, str(error)).response()
        return Response(status_code=204)

    async def prove(self, request: Request) -> Response:
        """An agent shows the token that it keeps: its others end."""
        identity, token = _agent(request), token_of(request)
        try:
            await run_in_threadpool(self._room.tokens.prove, identity, token, self._room.now())
        except RegistryError as error:
            return Refusal(409, str(error)).response()
        log.info("token replaced agent=%s", identity.agent_id)
        return Response(status_code=204)

    async def config(self, request: Request) -> Response:
        """What this agent is to measure; 304 when it has that already."""
        try:
            return await run_in_threadpool(self._config, request)
        except KeyError:
            return Refusal(404, "the agent's school is not declared").response()
        except SettingsError as error:
            log.error("configuration cannot be sent agent=%s reason=%s", _agent(request).agent_id, error)  # noqa: TRY400
            return Refusal(503, "the county's secrets cannot be read; its log says why", 60).response()

    def _config(self, request: Request) -> Response:
        effective = self._room.effective(_agent(request))
        headers = {"ETag": f'"{effective.revision}"', "Cache-Control": "no-store"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        if has_secrets(effective.document) and not _is_private(request):
            reason = "it holds SNMP secrets, which are sent over https only; give the collector a certificate"
            refusal = {"reason": reason, "revision": effective.revision}
            return JSONResponse(refusal, 403, {"Cache-Control": "no-store"})
        told = {"revision": effective.revision, "document": self._room.opened(effective)}
        return Response(msgspec.json.encode(told), media_type="application/json", headers=headers)


def authority_of(settings: CollectorSettings) -> str | None:
    """The first certificate of the county's CA file, or of its self-signed certificate; None without one."""
    tls = settings.listen.tls
    file = settings.enrolment.ca_file or (tls.ca if tls else "")
    if not file:
        return None
    try:
        text = Path(file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"key enrolment.ca_file: {file}: cannot be read as PEM") from None
    found = _CERTIFICATE.search(text)
    if found is None:
        raise SettingsError(f"key enrolment.ca_file: {file}: holds no certificate in PEM")
    return f"{found[0]}\n"


def _agent(request: Request) -> Identified:
    identity: Identified = request.state.agent
    return identity


def _is_private(request: Request) -> bool:
    """Over TLS (uvicorn believes only a proxy on this host that it was), or within this host."""
    return request.url.scheme == "https" or (request.client is not None and is_loopback(request.client.host))


async def _asked(request: Request, shape: type[T]) -> T:
    try:
        return json_of(await body_of(request, MAX_BODY_BYTES), shape)
    except TooLong:
        raise Refusal(413, f"more than {MAX_BODY_BYTES} bytes") from None
    except TimeoutError:
        raise Refusal(408, f"the body was not whole within {BODY_SECONDS:g} s") from None
    except msgspec.DecodeError as error:
        raise Refusal(400, str(error)) from None


def _refuse_no_digest(text: str) -> None:
    if not is_digest(text):
        raise Refusal(400, "token_digest: a SHA-256 in 64 hexadecimal digits is allowed")
