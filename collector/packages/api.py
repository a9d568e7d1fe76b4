"""Packages and upgrades for whoever may manage agents, under ``/api/v1``: what the commands do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, TypeVar

import msgspec
from fastapi import Path, Request
from starlette.routing import BaseRoute

from collector.access import Permission, Who, audit
from collector.enrolment.room import EnrolmentRoom
from collector.packages.rollouts import Follower, Rollout, Rollouts
from collector.packages.settings import PackageSettings
from collector.packages.store import Package, PackageStore
from collector.registry import Registry, RegistryError
from collector.web.api_declaring import After, Limit, api_route, page_of
from collector.web.problems import bad_request
from config.settings import SettingsError

PAGE = 200
MAX_SCHOOLS = 1000
PackageFile = Annotated[str, Path(max_length=160)]

T = TypeVar("T")


class Packages(msgspec.Struct, frozen=True):
    """Every package of the store, the newest version first."""

    packages: list[Package]


class NewUpgrade(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who goes first: the agents of ``schools``, and of the others a ``share`` by lot; or ``everybody`` at
    once. The rest follow after ``settle_seconds``, or when somebody says so (``by_hand``). ``urgent``: in
    lessons too.
    """

    version: str
    schools: Annotated[list[str], msgspec.Meta(max_length=MAX_SCHOOLS)] = []
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    everybody: bool = False
    settle_seconds: Annotated[float, msgspec.Meta(ge=0, le=31 * 86400)] | None = None
    by_hand: bool = False
    urgent: bool = False
    dry_run: bool = False


class NewBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Leave the version of the order that holds. ``urgent``: in lessons too."""

    urgent: bool = False
    dry_run: bool = False


class Ordered(msgspec.Struct, frozen=True):
    """An order. ``state`` is «first», «rest» when all may follow, «stopped» with the reason, or «back»."""

    id: str
    version: str
    state: str
    first: list[str]
    settle_seconds: float | None
    urgent: bool
    created_at: datetime
    created_by: str
    well_at: datetime | None
    rest_at: datetime | None
    stopped_at: datetime | None
    reason: str


class UpgradeStatus(msgspec.Struct, frozen=True):
    """The order that holds, null before the first, and how many agents are in which state of it."""

    order: Ordered | None
    agents: dict[str, int]


class Followers(msgspec.Struct, frozen=True):
    """Agents and how they follow; ``next`` is ``after`` of the next page."""

    agents: list[Follower]
    next: str | None


def upgrade_api(room: EnrolmentRoom, registry: Registry, settings: PackageSettings) -> list[BaseRoute]:
    """Every route of this part."""
    api = UpgradeApi(room, registry, settings)
    may, none = Permission.MANAGE_AGENTS, HTTPStatus.NO_CONTENT
    return [
        api_route(may, "/packages", api.packages, gives=Packages),
        api_route(may, "/packages/{file}", api.remove, gives=None, method="DELETE", status=none),
        api_route(may, "/upgrade", api.status, gives=UpgradeStatus),
        api_route(may, "/upgrade", api.start, gives=Ordered, method="POST", takes=NewUpgrade),
        api_route(may, "/upgrade/agents", api.followers, gives=Followers),
        api_route(may, "/upgrade/stop", api.stop, gives=Ordered, method="POST"),
        api_route(may, "/upgrade/continue", api.go_on, gives=Ordered, method="POST"),
        api_route(may, "/upgrade/back", api.back, gives=Ordered, method="POST", takes=NewBack),
    ]


class UpgradeApi:
    """The answers."""

    def __init__(self, room: EnrolmentRoom, registry: Registry, settings: PackageSettings) -> None:
        self._room = room
        self._registry = registry
        self._settings = settings

    def packages(self) -> Packages:
        """Every package that is signed by a trusted key."""
        return Packages(_told(self._room.packages.packages))

    def remove(self, request: Request, file: PackageFile) -> None:
        """Delete a package; agents that run it go on."""
        _told(lambda: self._room.packages.remove(file))
        with self._registry.writing() as connection:
            audit.record(connection, _who(request), "packages.remove", file, at=self._room.now())

    def status(self) -> UpgradeStatus:
        """The order that holds, and how far it came."""
        self._room.states.flush()
        return status_of(self._room.rollouts)

    def followers(self, after: After = "", limit: Limit = PAGE) -> Followers:
        """Every agent: its version, and how it follows the order."""
        self._room.states.flush()
        page, following = page_of(self._room.rollouts.followers(), after, limit, _id)
        return Followers(page, following)

    def start(self, request: Request, body: NewUpgrade) -> Ordered:
        """Order a version of the store: some agents first, then the rest."""
        return ordered(
            _told(
                lambda: start(
                    self._room.rollouts, self._room.packages, body, _who(request),
                    now=self._room.now(), settle_seconds=float(self._settings.settle),
                )
            )
        )  # fmt: skip

    def stop(self, request: Request) -> Ordered:
        """No further agent follows; those that run the version go on."""
        return ordered(self._room.rollouts.stop(_who(request), self._room.now()))

    def go_on(self, request: Request) -> Ordered:
        """Let the rest follow at once."""
        return ordered(self._room.rollouts.go_on(_who(request), self._room.now()))

    def back(self, request: Request, body: NewBack) -> Ordered:
        """Have every agent leave the version of the order for the one that it ran before."""
        now, who = self._room.now(), _who(request)
        return ordered(self._room.rollouts.back(who, now, urgent=body.urgent, dry_run=body.dry_run))


def start(
    rollouts: Rollouts,
    store: PackageStore,
    wanted: NewUpgrade,
    by: Who,
    *,
    now: datetime,
    settle_seconds: float,
) -> Rollout:
    """Order what is asked for. Raises RegistryError for what cannot be, SettingsError for the store."""
    versions = store.versions()
    if wanted.version not in versions:
        there = ", ".join(sorted(versions)) or "none"
        raise RegistryError(f"version {wanted.version[:40]}: is not in the store; there: {there}")
    if wanted.everybody and (wanted.schools or wanted.share):
        raise RegistryError("allowed: everybody at once, or some first")
    settle = settle_seconds if wanted.settle_seconds is None else wanted.settle_seconds
    return rollouts.start(
        wanted.version, rollouts.first_of(wanted.schools, wanted.share), by, now=now,
        everybody=wanted.everybody, settle_seconds=None if wanted.by_hand else settle,
        urgent=wanted.urgent, dry_run=wanted.dry_run,
    )  # fmt: skip


def ordered(rollout: Rollout) -> Ordered:
    """An order as it is told."""
    told = {name: getattr(rollout, name) for name in Ordered.__struct_fields__}
    return Ordered(**{**told, "first": sorted(rollout.first)})


def status_of(rollouts: Rollouts) -> UpgradeStatus:
    """The order that holds, and how far it came."""
    rollout = rollouts.current()
    counts = Counter(each.state for each in rollouts.followers() if each.state)
    return UpgradeStatus(ordered(rollout) if rollout else None, dict(sorted(counts.items())))


def _who(request: Request) -> Who:
    who: Who = request.state.who
    return who


def _id(agent: Follower) -> str:
    return agent.id


def _told(work: Callable[[], T]) -> T:
    """What cannot be done is a bad request, in the words that the command would use."""
    try:
        return work()
    except SettingsError as error:
        raise bad_request(str(error)) from None
