"""Sends batches to the collector: the live one first, then the backlog, oldest first, at a bounded rate.

Old batches travel together, else days of them would take hours. What the collector asks to wait with old ones
does not hold up the live one.
"""

from __future__ import annotations

import enum
import logging
import random
import threading
from collections.abc import Callable

from agent.credentials import INVITED_AGAIN
from agent.link import Answer, Link, LinkError
from agent.settings import PushSettings
from agent.spool import Spool
from agent.spool_file import Batch
from config.clock import Clock

log = logging.getLogger(__name__)

WRITE_PATH = "/api/v2/write?org=xiaotong&bucket=raw&precision=ns"
IDLE_SECONDS = 5.0
MOST_UNSURE = 1024
"""Batches that may be with the collector already: each goes again under its own number, which it knows."""
MOST_BATCHES = 1024
"""Of one push; it is small where the collector refused several together."""


class Reaction(enum.Enum):
    """What an answer means for the batch that was sent."""

    TAKEN = "taken"
    SPLIT = "split"
    SET_ASIDE = "set_aside"
    REFUSED = "refused"
    LATER = "later"


_REACTIONS = {
    200: Reaction.TAKEN,
    204: Reaction.TAKEN,
    400: Reaction.SET_ASIDE,
    413: Reaction.SPLIT,
    422: Reaction.SET_ASIDE,
    401: Reaction.REFUSED,
    403: Reaction.REFUSED,
    404: Reaction.REFUSED,
}


def reaction(status: int) -> Reaction:
    """What a status asks for; anything unknown keeps the batch for later."""
    return _REACTIONS.get(status, Reaction.LATER)


def backoff_seconds(
    failures: int, settings: PushSettings, random_between: Callable[[float, float], float]
) -> float:
    """Exponential with full jitter, anywhere from 0 to the doubled pause, so that a county's agents do not
    come back together.
    """
    ceiling = min(settings.backoff_max, settings.backoff_first * 2 ** min(failures - 1, 30))
    return random_between(0.0, ceiling)


class Push:
    """The thread that empties the spool."""

    def __init__(
        self,
        *,
        spool: Spool,
        link: Link,
        settings: PushSettings,
        clock: Clock,
        boot_id: str,
        stop: threading.Event,
        random_between: Callable[[float, float], float] = random.uniform,
        promise: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """``promise`` hears within how many seconds the thread will be back."""
        self._spool = spool
        self._link = link
        self._settings = settings
        self._clock = clock
        self._boot_id = boot_id
        self._stop = stop
        self._random_between = random_between
        self._promise = promise
        self._live = ("", 0)
        self._backlog: tuple[Batch, list[Batch]] | None = None
        self._most_batches = MOST_BATCHES
        self._unsure: set[tuple[str, int]] = set()
        self._due_ns = self._backlog_due_ns = 0
        self._failures = 0
        self._refusals = 0

    def run(self) -> None:
        """Send until the agent stops."""
        while not self._stop.is_set():
            self._promise(float(self._settings.timeout))
            pause = self.step()
            self._promise(IDLE_SECONDS if pause is None else pause)
            if pause is None or pause > 0:
                self._spool.wait_for_news(IDLE_SECONDS if pause is None else pause)
        self._link.close()

    def step(self) -> float | None:
        """Send one batch, if there is one and it may be sent now. Returns the seconds to wait before the
        next; None: until there is something to send.
        """
        if (wait := self._seconds_until(self._due_ns)) > 0:
            return wait
        live = self._next_live()
        if live is not None:
            return self._send(live, [live], live=True)
        if (wait := self._seconds_until(self._backlog_due_ns)) > 0:
            return wait
        self._backlog = self._backlog or self._next_of_backlog()
        return None if self._backlog is None else self._send(*self._backlog, live=False)

    def _next_live(self) -> Batch | None:
        """The newest batch while it is newer than the last live one."""
        newest = self._spool.newest()
        if newest is None or newest.spool_id != self._live[0] or newest.sequence > self._live[1]:
            return newest
        return None

    def _next_of_backlog(self) -> tuple[Batch, list[Batch]] | None:
        """The oldest batches as one, and themselves; one alone travels as it is."""
        batches = self._spool.oldest(self._settings.backlog_points, self._most_batches, self._unsure)
        if not batches:
            return None
        batch = batches[0] if len(batches) == 1 else self._spool.joined(batches)
        return None if batch is None else (batch, batches)

    def _send(self, batch: Batch, parts: list[Batch], *, live: bool) -> float:
        try:
            answer = self._link.post(WRITE_PATH, batch.body, self._headers(batch))
        except LinkError as error:
            if error.may_have_come and len(self._unsure) < MOST_UNSURE:
                self._unsure.add((batch.spool_id, batch.sequence))
            return self._hold_up(self._pause_after_failure(str(error)))
        what = reaction(answer.status)
        if what is Reaction.REFUSED:
            return self._hold_up(self._pause_after_refusal(answer))
        if what is Reaction.LATER:
            pause, is_asked = self._pause_as_asked(answer)
            return self._rest(pause) if is_asked and not live else self._hold_up(pause)
        self._unsure.discard((batch.spool_id, batch.sequence))
        self._failures = self._refusals = 0
        if live:
            self._live = (batch.spool_id, batch.sequence)
        else:
            self._backlog = None
        self._settle(batch, parts, answer, what)
        return 0.0 if live else self._rest(float(self._settings.backlog_pause))

    def _seconds_until(self, due_ns: int) -> float:
        return (due_ns - self._clock.monotonic_ns()) / 1e9

    def _hold_up(self, seconds: float) -> float:
        """Send nothing for so long, new or old."""
        self._due_ns = self._clock.monotonic_ns() + round(seconds * 1e9)
        return seconds

    def _rest(self, seconds: float) -> float:
        """Send nothing old for so long."""
        self._backlog_due_ns = self._clock.monotonic_ns() + round(seconds * 1e9)
        return seconds

    def _settle(self, batch: Batch, parts: list[Batch], answer: Answer, what: Reaction) -> None:
        if what is Reaction.TAKEN:
            self._most_batches = min(2 * self._most_batches, MOST_BATCHES)
        elif len(parts) > 1:  # fewer at a time, until the one is found that is not taken
            self._most_batches = len(parts) // 2
            return
        if what is Reaction.SPLIT:
            log.warning("batch too large, split sequence=%d points=%d", batch.sequence, batch.points)
            self._spool.split(batch)
        elif what is Reaction.SET_ASIDE:
            reason = _said(answer)
            log.error("batch set aside sequence=%d points=%d reason=%s", batch.sequence, batch.points, reason)
            self._spool.set_aside(batch, reason)
        else:
            self._spool.acknowledge(*parts)
            aside = answer.headers.get("x-xiaotong-set-aside", "0")
            if aside != "0":
                log.warning("collector set points aside sequence=%d points=%s", batch.sequence, aside[:20])

    def _pause_after_refusal(self, answer: Answer) -> float:
        """Longer each time: who is not enrolled any more shall not knock for ever."""
        hint = f"; token_file: {INVITED_AGAIN}" if answer.status == 401 else ""
        log.error("push refused status=%d; the batch is kept%s", answer.status, hint)
        self._refusals += 1
        pause = self._settings.refused_pause * 2 ** min(self._refusals - 1, 10)
        return float(min(pause, max(self._settings.refused_pause, self._settings.refused_pause_max)))

    def _pause_as_asked(self, answer: Answer) -> tuple[float, bool]:
        """The pause, and whether the collector asked for it."""
        asked = answer.retry_after_seconds()
        if asked is None:
            return self._pause_after_failure(f"status {answer.status}"), False
        self._failures += 1
        pause = min(asked, self._settings.retry_after_max)
        log.warning("collector asks to wait status=%d seconds=%g", answer.status, pause)
        return pause + self._random_between(0.0, float(self._settings.backoff_first)), True

    def _pause_after_failure(self, why: str) -> float:
        self._failures += 1
        log.warning("push failed failures=%d error=%s", self._failures, why)
        return backoff_seconds(self._failures, self._settings, self._random_between)

    def _headers(self, batch: Batch) -> dict[str, str]:
        return {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Encoding": "gzip",
            "X-Xiaotong-Sequence": str(batch.sequence),
            "X-Xiaotong-Spool-Id": batch.spool_id,
            "X-Xiaotong-Boot-Id": self._boot_id,
            "X-Xiaotong-Wall-Ns": str(self._clock.wall_ns()),
            "X-Xiaotong-Monotonic-Ns": str(self._clock.monotonic_ns()),
            "X-Xiaotong-Recorded-Boot-Id": batch.boot_id,
            "X-Xiaotong-Recorded-Wall-Ns": str(batch.wall_ns),
            "X-Xiaotong-Recorded-Monotonic-Ns": str(batch.monotonic_ns),
        }


def _said(answer: Answer) -> str:
    """The collector's reason as one printable line."""
    text = " ".join(answer.body.decode(errors="replace").split())
    return f"status {answer.status}: " + "".join(c if c.isprintable() else "?" for c in text)[:300]
