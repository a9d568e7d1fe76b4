"""Follows the county's orders to run another version: fetches it, has it tried, says how it went.

The trial itself is the next process's: it is over when the collector has answered a heartbeat of it. Until
then the launcher's timer runs.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from agent.heartbeat import Order, Told
from agent.launcher import disarm, ends_within
from agent.link import Link, LinkError
from agent.settings import UpgradeSettings
from agent.versions import (
    MAX_REASON,
    PACKAGED,
    Failed,
    Kept,
    LacksLibrary,
    Versions,
    confirmed,
    lasted,
    silenced,
    tried,
    unheard,
)
from config.clock import Clock
from config.packages import CutShort, PackageError, is_version, machine, order_of, python_minor

log = logging.getLogger(__name__)

PACKAGE_PATH = "/api/v1/agent/package"
LOOK_SECONDS = 2.0
"""While a version is on trial, how often it is looked at."""
WAIT_SECONDS = 30.0
"""How often an order that waits for the end of lessons is looked at."""
IDLE_SECONDS = 3600.0
DAY_SECONDS = 86400.0
RESTART_SECONDS = 60.0
GRACE_SECONDS = 20.0
"""A version that nobody heard ends by itself so long before the launcher's timer ends it."""


class Later(Exception):
    """What may be otherwise another time: the link, the county's store; the seconds it asked to wait."""

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Doing(NamedTuple):
    """How an order fares: «waiting», «refused»."""

    order: str
    state: str
    reason: str


def _restart() -> None:
    """As an operator would: an announced restart, by the service manager; one that hangs is ended."""
    ends_within(RESTART_SECONDS)
    os.kill(os.getpid(), signal.SIGHUP)


class Upgrades:
    """Versions as the county wants them. ``version`` is the one that runs, PACKAGED or one of the store;
    ``refusal`` says why now is no time, None when it is.
    """

    def __init__(
        self,
        *,
        settings: UpgradeSettings,
        versions: Versions,
        version: str,
        packaged: str,
        link: Link,
        clock: Clock,
        stop: threading.Event,
        refusal: Callable[[], str | None],
        restart: Callable[[], None] = _restart,
        random_between: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._settings = settings
        self._versions = versions
        self._version = version
        self._link = link
        self._clock = clock
        self._stop = stop
        self._refusal = refusal
        self._restart = restart
        self._random_between = random_between
        self._lock = threading.Lock()
        self._kept = versions.read()
        if not self._kept.packaged:
            self._kept = msgspec.structs.replace(self._kept, packaged=packaged)
        self._began = self._now()
        self._news = threading.Event()
        self._heard = self._began
        self._has_lasted = False
        self._told: Order | None = None
        self._begun_order = ""
        self._due = 0.0
        self._failures = 0
        self._doing: Doing | None = None
        self._lacking, self._lacks = "", ""
        self._ends = False

    def said(self) -> Mapping[str, str]:
        """What the heartbeat tells: what is installed, the order at hand, how it fares and why."""
        kept, doing = self._kept, self._doing
        if self._is_on_trial and kept.trial:
            doing = Doing(kept.trial.order, "trial", "")
        elif doing is None and kept.failed and not kept.failed.again:
            doing = Doing(kept.failed.order, "failed", f"{kept.failed.version}: {kept.failed.reason}")
        order, state, reason = doing or Doing(kept.order, "", "")
        return {"packaged": kept.packaged, "order": order, "state": state, "reason": reason[:MAX_REASON]}

    def hear(self, told: Told) -> None:
        """An answer to a heartbeat came. Waits for nothing."""
        self._heard = self._now()
        if told.upgrade != self._told:
            self._told = told.upgrade
            self._news.set()

    def run(self) -> None:
        """Follow until the agent stops."""
        self._prune()
        while not self._stop.is_set():
            self._news.wait(self.step())
            self._news.clear()

    def wake(self) -> None:
        """The agent stops, and was told to: this start is no sign of a bad version."""
        with self._lock:
            self._keep(lasted(self._kept))
        self._news.set()

    def step(self) -> float:
        """Do what is due; returns the seconds until there may be more."""
        if self._ends:
            return IDLE_SECONDS
        with self._lock:
            wait = self._look_after_this_version()
        return wait if self._is_on_trial or self._ends else min(wait, self._look_after_order())

    def _look_after_order(self) -> float:
        order = self._told
        if order is None:
            self._doing = None
            return IDLE_SECONDS
        if order.id != self._begun_order:
            self._begin(order)
        if self._is_dealt(order):
            return IDLE_SECONDS
        now = self._now()
        if now < self._due:
            return self._due - now
        not_now = None if order.urgent else self._refusal()
        if not_now is not None:
            self._doing = Doing(order.id, "waiting", not_now)
            return WAIT_SECONDS
        self._follow(order)
        return 0.0 if self._is_dealt(order) else max(0.1, self._due - self._now())

    @property
    def _is_on_trial(self) -> bool:
        return self._kept.trial is not None and self._kept.trial.version == self._version

    def _look_after_this_version(self) -> float:
        """Keep what was heard and ran long enough, leave what was not; seconds until the next look."""
        kept, trial = self._kept, float(self._settings.trial)
        if self._is_on_trial and kept.trial is not None:
            if self._heard - self._began >= self._settings.settle:
                self._confirm()
            elif self._now() - kept.trial.since_seconds >= trial - min(GRACE_SECONDS, trial / 4):
                self._keep(silenced(kept, trial))
                self._end(f"version left version={kept.named(self._version)} reason={unheard(trial)}")
            return min(LOOK_SECONDS, trial / 10)
        left = self._began + trial - self._now()
        if left <= 0 and not self._has_lasted:
            self._has_lasted = True
            self._keep(lasted(kept))
        return IDLE_SECONDS if self._has_lasted else max(left, 0.1)

    def _confirm(self) -> None:
        disarm()
        self._keep(confirmed(self._kept))
        log.info("version kept version=%s", self._kept.named(self._version))
        self._prune()

    def _prune(self) -> None:
        """A version that was left goes, and one that a crash left half."""
        try:
            self._versions.prune(self._kept)
        except OSError as error:
            log.warning("old versions stay error=%s", error)

    def _begin(self, order: Order) -> None:
        self._begun_order, self._failures, self._doing = order.id, 0, None
        spread = 0.0 if order.urgent else float(self._settings.spread)
        self._due = self._now() + self._random_between(0.0, spread)
        failed = self._failed_by(order)
        if failed is not None and failed.again:
            self._due += self._settings.trial  # the version before runs as long on that line
            reason = f"{failed.version}: {failed.reason}; it is tried once more"
            self._doing = Doing(order.id, "waiting", reason)

    def _failed_by(self, order: Order) -> Failed | None:
        failed = self._kept.failed
        return failed if failed is not None and failed.order == order.id else None

    def _is_dealt(self, order: Order) -> bool:
        """True when there is nothing to do for it: it runs, failed or is refused."""
        if self._ends or (self._doing is not None and self._doing.state == "refused"):
            return True
        failed = self._failed_by(order)
        runs = self._kept.named(self._version) == order.version
        return runs != order.leave or (failed is not None and not failed.again)

    def _follow(self, order: Order) -> None:
        try:
            target = self._target(order)
            if target != PACKAGED and not self._versions.has(target):
                self._fetch(target)
            with self._lock:
                self._try(order, target)
        except (LinkError, CutShort, OSError, Later) as error:
            self._failures += 1
            pause = min(DAY_SECONDS, self._settings.pause * 2 ** min(self._failures - 1, 20))
            asked = error.seconds if isinstance(error, Later) and error.seconds is not None else pause
            self._due = (
                self._now() + asked + self._random_between(0.0, min(asked, float(self._settings.pause)))
            )
            self._doing = Doing(order.id, "waiting", f"{error}")
            log.warning("version not fetched version=%s reason=%s", order.version, error)
        except PackageError as error:
            self._doing = Doing(order.id, "refused", f"{error}")
            log.error("version refused version=%s reason=%s", order.version, error)  # noqa: TRY400

    def _target(self, order: Order) -> str:
        """The version to run, PACKAGED or one of the store. Raises PackageError."""
        kept = self._kept
        if not self._settings.enabled:
            raise PackageError("the local file says upgrade.enabled: false")
        if order.leave and self._version == PACKAGED:
            raise PackageError(f"{order.version} is what is installed here")
        if order.leave:
            return kept.previous if self._versions.has(kept.previous) else PACKAGED
        if not is_version(order.version):
            raise PackageError("the order names no version")
        if order_of(order.version) < order_of(kept.newest):
            raise PackageError(f"{kept.newest} is here, and newer; only «--back» leads to an older one")
        if order.version == kept.packaged:
            return PACKAGED
        if not self._settings.keys:
            raise PackageError("no key is known here to check packages by: enrol again, or set upgrade.keys")
        return order.version

    def _fetch(self, version: str) -> None:
        """Raises Later, LinkError, OSError, PackageError."""
        try:
            if version != self._lacking:
                self._take(version, whole=False)
                return
        except LacksLibrary as lacking:
            self._lacking, self._lacks = version, f"{lacking}"
        try:
            self._take(version, whole=True)
        except Later as error:
            raise Later(f"the package {self._lacks}; with its libraries: {error}", error.seconds) from None

    def _take(self, version: str, *, whole: bool) -> None:
        asked = {"version": version, "machine": machine(), "python": python_minor(), "whole": int(whole)}
        settings = self._settings
        with self._link.reading(f"{PACKAGE_PATH}?{urlencode(asked)}", {}, float(settings.timeout)) as answer:
            if answer.status != 200:
                raise _later(answer.status, answer.getheader("Retry-After", ""), answer.read(4096))
            self._versions.add(
                answer, version,
                max_bytes=int(settings.max_bytes), spare_bytes=int(settings.spare),
            )  # fmt: skip

    def _try(self, order: Order, target: str) -> None:
        if self._stop.is_set():
            return
        trial = tried(self._kept, target, order.id)
        self._versions.keep(trial)
        self._kept = trial
        self._end(f"version tried version={trial.named(target)}")

    def _end(self, why: str) -> None:
        """End this process in order; the service manager starts the launcher."""
        self._ends = True
        log.info("agent ends to be started again: %s", why)
        self._restart()

    def _keep(self, kept: Kept) -> None:
        """Remember. A disk that cannot be written costs the memory of it, and the next start tries again."""
        if kept == self._kept:
            return
        self._kept = kept
        try:
            self._versions.keep(kept)
        except OSError as error:
            log.error("version not remembered error=%s", error)  # noqa: TRY400

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9


class _Reason(msgspec.Struct, frozen=True):
    reason: str = ""


def _later(status: int, retry_after: str, body: bytes) -> Later:
    try:
        said = msgspec.json.decode(body, type=_Reason).reason
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = ""
    printable = "".join(each for each in said if each.isprintable())[:200]
    asked = retry_after.strip()
    seconds = float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else None
    return Later(printable or f"the collector answers {status}", seconds)
