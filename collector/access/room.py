"""The access room: who somebody is, by what he sends."""

from __future__ import annotations

from starlette.requests import Request

from collector.access.origin import is_on_this_host
from collector.access.permissions import Role
from collector.access.settings import AccessSettings
from collector.access.who import NOBODY, Via, Who, somebody
from collector.ingest.credentials import identify
from collector.ingest.intake import AgentIdentity
from collector.registry import Registry

THIS_HOST = "this host"


class AccessRoom:
    """The doorkeeper of every route."""

    def __init__(self, registry: Registry, settings: AccessSettings) -> None:
        self._registry = registry
        self._anonymous = _anonymous(settings)

    async def who(self, request: Request) -> Who:
        """Who is asking; NOBODY for a caller without a valid credential."""
        return self._anonymous if is_on_this_host(request) else NOBODY

    def agent(self, request: Request, *, in_query: bool) -> AgentIdentity:
        """The agent that is asking. Raises Answer 401."""
        return identify(request, self._registry, in_query=in_query)

    def knows_school(self, school_id: str) -> bool:
        """True for a school that is declared."""
        return self._registry.school(school_id) is not None


def _anonymous(settings: AccessSettings) -> Who:
    if settings.anonymous == "none":
        return NOBODY
    return somebody(THIS_HOST, Role(settings.anonymous), Via.THIS_HOST)
