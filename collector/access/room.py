"""The access room: who somebody is, by what he sends; and the parts that let people in."""

from __future__ import annotations

import logging
import threading

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from collector.access.logins import TOKEN_PREFIX, Logins
from collector.access.oidc import Oidc
from collector.access.origin import client_address, is_on_this_host
from collector.access.passwords import Passwords
from collector.access.permissions import Role
from collector.access.settings import AccessSettings
from collector.access.throttle import Throttle
from collector.access.users import FIRST_ADMIN, Users
from collector.access.who import NOBODY, Via, Who, somebody
from collector.ingest.credentials import identify
from collector.ingest.intake import AgentIdentity
from collector.registry import Registry
from config.clock import Clock, SystemClock

THIS_HOST = "this host"
SESSION_COOKIE = "xiaotong_session"
DEVICE_COOKIE = "xiaotong_device"
FORGET_EVERY_NS = 3600 * 10**9

log = logging.getLogger(__name__)


class AccessRoom:
    """The doorkeeper of every route, with the users, logins and passwords behind it."""

    def __init__(
        self,
        registry: Registry,
        settings: AccessSettings,
        clock: Clock | None = None,
        public_url: str = "",
    ) -> None:
        """``public_url`` is where people reach the pages; empty: where each request came to."""
        self.settings = settings
        self.public_url = public_url.rstrip("/")
        self.registry = registry
        self.users = Users(registry)
        self.logins = Logins(registry, settings)
        self.passwords = Passwords(settings.passwords)
        self.clock = clock or SystemClock()
        self.throttle = Throttle(settings.passwords, self.clock)
        self.oidc = Oidc(registry, settings.oidc) if settings.oidc is not None else None
        self._anonymous = _anonymous(settings)
        self._forget_due_ns = 0
        self._lock = threading.Lock()

    async def who(self, request: Request) -> Who:
        """Who is asking: by a token, else by a session, else from this host. NOBODY for no valid one."""
        found = await self._known(request)
        return msgspec.structs.replace(found, address=self.address(request))

    async def _known(self, request: Request) -> Who:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() in {"bearer", "token"} and secret.strip().startswith(TOKEN_PREFIX):
            return await run_in_threadpool(self.logins.of_token, secret.strip()) or NOBODY
        session = request.cookies.get(SESSION_COOKIE)
        if session:
            who = await run_in_threadpool(self.logins.of_session, session)
            if who is not None:
                return who
        return self._anonymous if is_on_this_host(request) else NOBODY

    def agent(self, request: Request, *, in_query: bool) -> AgentIdentity:
        """The agent that is asking. Raises Answer 401."""
        return identify(request, self.registry, in_query=in_query)

    def knows_school(self, school_id: str) -> bool:
        """True for a school that is declared."""
        return self.registry.school(school_id) is not None

    def address(self, request: Request) -> str:
        """Where a request comes from, through the trusted proxies."""
        return client_address(request, self.settings.proxies)

    def first_link(self) -> str | None:
        """The secret of a one-time link for the first county admin; None where somebody can log in."""
        if self.settings.anonymous != "none" or not self.users.needs_first_password():
            return None
        by = Who("first start", via=Via.COMMAND)
        if self.users.is_empty():
            self.users.add(FIRST_ADMIN, Role.COUNTY_ADMIN, by=by)
        admins = [
            each for each in self.users.all() if each.role is Role.COUNTY_ADMIN and not each.disabled_at
        ]
        return self.users.new_link(admins[0].name, self.settings.passwords.link, by=by) if admins else None

    def tick(self) -> None:
        """Forget what is over, once an hour."""
        now_ns = self.clock.monotonic_ns()
        with self._lock:
            if now_ns < self._forget_due_ns:
                return
            self._forget_due_ns = now_ns + FORGET_EVERY_NS
        self.logins.forget_old()
        if self.oidc is not None:
            self.oidc.forget_old()


def _anonymous(settings: AccessSettings) -> Who:
    if settings.anonymous == "none":
        return NOBODY
    return somebody(THIS_HOST, Role(settings.anonymous), Via.THIS_HOST)
