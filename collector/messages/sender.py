"""Sends what the outbox holds for one channel, in a thread of its own: a slow channel holds up no other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from collector.messages.bodies import Body, decode
from collector.messages.channels import Channel, Letter, NotDelivered
from collector.messages.channels.email import PartlyDelivered
from collector.messages.choosing import Batch
from collector.messages.outbox import Outbox
from config.clock import Clock

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0


class Sender:
    """One channel's thread. ``step`` sends one letter, and is all there is to it."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        *,
        outbox: Outbox,
        render: Callable[[Channel, Batch, list[tuple[str, str, Body]]], Letter],
        clock: Clock,
        poll_seconds: float,
    ) -> None:
        self.name = name
        self._channel, self._outbox, self._render = channel, outbox, render
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"messages-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a letter on its way has a few seconds, and is sent again if they do not suffice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def step(self) -> bool:
        """Send one letter; False when there is none, or the channel is not to be used now."""
        batch = self._outbox.claim(self.name, self._channel.limits, self._now())
        if batch is None:
            return False
        try:
            self._channel.send(self._letter(batch))
        except PartlyDelivered as partly:
            log.warning("message partly delivered channel=%s key=%s why=%s", self.name, batch.key, partly)
            self._outbox.delivered(self.name, batch, self._now(), str(partly))
        except NotDelivered as why:
            log.warning(
                "message not delivered channel=%s key=%s failure=%s why=%s",
                self.name, batch.key, why.failure.value, why,
            )  # fmt: skip
            self._outbox.failed(self.name, batch, why, self._now())
        else:
            log.info("message sent channel=%s key=%s messages=%d", self.name, batch.key, len(batch.messages))
            self._outbox.delivered(self.name, batch, self._now())
        return True

    def _letter(self, batch: Batch) -> Letter:
        try:
            bodies = [(each.key, each.severity, decode(each.body)) for each in batch.messages]
            return self._render(self._channel, batch, bodies)
        except Exception:
            # better a bare message than none: an older version's words may not be known any more
            log.exception("message cannot be put into words key=%s", batch.key)
            keys = ", ".join(each.key for each in batch.messages[:20])
            return Letter(batch.key, f"xiaotong: {keys}", "/incidents", batch.messages[0].severity)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self.step():
                    continue
            except Exception:
                log.exception("messages of a channel failed channel=%s", self.name)
            self._stop.wait(self._poll_seconds)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC)
