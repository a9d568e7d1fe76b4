"""A package, as an agent fetches it and as an admin brings it: piece by piece, and so many at a time."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from collector.access import Permission, Who, audit, permitted
from collector.packages.settings import PackageSettings
from collector.packages.store import Package, PackageStore
from collector.registry import Registry
from collector.web.problems import Problem, answer_of, as_json, bad_request
from config.settings import SettingsError

log = logging.getLogger(__name__)

PACKAGE_PATH, PACKAGES_PATH = "/api/v1/agent/package", "/api/v1/packages"
PIECE_BYTES = 64 * 1024
RETRY_AFTER_SECONDS = 60
MAX_ASKED = 64


def package_routes(store: PackageStore, registry: Registry, settings: PackageSettings) -> list[BaseRoute]:
    """What agents ask for, and where packages are put."""
    downloads, uploads = Downloads(store, settings), Uploads(store, registry, settings)
    return [
        permitted(Permission.AGENT, Route(PACKAGE_PATH, downloads.package, methods=["GET"])),
        permitted(Permission.MANAGE_AGENTS, Route(PACKAGES_PATH, uploads.put, methods=["PUT"])),
    ]


class Uploads:
    """Takes packages into the store, one at a time. On the event loop alone."""

    def __init__(self, store: PackageStore, registry: Registry, settings: PackageSettings) -> None:
        self._store = store
        self._registry = registry
        self._settings = settings
        self._busy = False

    async def put(self, request: Request) -> Response:
        """Keep the package that is the body, as «packages add» does."""
        if self._busy:
            return answer_of(Problem(HTTPStatus.SERVICE_UNAVAILABLE, "another package is being added"))
        self._busy = True
        try:
            self._store.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=self._store.directory) as file:
                await self._received(request, file)
                added = await run_in_threadpool(self._added, file, request.state.who)
        except Problem as problem:
            return answer_of(problem)
        finally:
            self._busy = False
        return as_json(added, int(HTTPStatus.CREATED))

    async def _received(self, request: Request, file: IO[bytes]) -> None:
        most, size = int(self._settings.max_bytes), 0
        try:
            async with asyncio.timeout(self._settings.download_deadline):
                async for piece in request.stream():
                    size += len(piece)
                    if size > most:
                        said = f"packages.max_bytes allows {most} bytes"
                        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said)
                    await run_in_threadpool(file.write, piece)
        except TimeoutError:
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, "the package was not whole in time") from None

    def _added(self, file: IO[bytes], by: Who) -> Package:
        file.seek(0)
        try:
            added = self._store.add(file)
        except SettingsError as error:
            raise bad_request(str(error)) from None
        with self._registry.writing() as connection:
            audit.record(connection, by, "packages.add", added.file, at=datetime.now(UTC))
        return added


class Downloads:
    """Who fetches now: so many in all, and an agent two: it may have left one that it cannot use, and that
    is not seen at once. On the event loop alone.
    """

    def __init__(self, store: PackageStore, settings: PackageSettings) -> None:
        self._store = store
        self._settings = settings
        self._agents: list[str] = []

    async def package(self, request: Request) -> Response:
        """The package of a version for the agent's machine."""
        asked = request.query_params
        version, machine, python = (
            asked.get(key, "")[:MAX_ASKED] for key in ("version", "machine", "python")
        )
        whole = asked.get("whole") == "1"
        agent = request.state.agent.agent_id
        if self._agents.count(agent) > 1 or len(self._agents) >= self._settings.downloads:
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            return JSONResponse({"reason": "too many fetch packages now"}, 503, headers)
        self._agents.append(agent)
        try:
            found = await run_in_threadpool(self._store.fitting, version, machine, python, whole=whole)
            if found is not None:
                log.info("package sent agent=%s file=%s", agent, found.name)
                return _Sent(found, float(self._settings.download_deadline), self._agents, agent)
        except BaseException:
            self._agents.remove(agent)
            raise
        self._agents.remove(agent)
        kind = "with its libraries " if whole else ""
        reason = f"the county's store has no package {kind}of {version} for {machine}, Python {python}"
        return JSONResponse({"reason": reason}, 404)


class _Sent(StreamingResponse):
    """A file, cut off when it is not taken in time: a client that went away holds no place for ever."""

    def __init__(self, file: Path, deadline_seconds: float, agents: list[str], agent: str) -> None:
        length = {"Content-Length": str(file.stat().st_size), "Cache-Control": "no-store"}
        super().__init__(_pieces(file), media_type="application/octet-stream", headers=length)
        self._deadline_seconds = deadline_seconds
        self._agents = agents
        self._agent = agent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            log.warning("package not taken in time agent=%s", self._agent)
        finally:
            self._agents.remove(self._agent)


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    stream: Any = await run_in_threadpool(file.open, "rb")
    try:
        while piece := await run_in_threadpool(stream.read, PIECE_BYTES):
            yield piece
    finally:
        stream.close()
