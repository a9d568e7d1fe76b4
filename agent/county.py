"""Follows the county: fetches what it wants measured, tries it, keeps it or goes back; replaces the token."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping

import msgspec

from agent.central import NAME, over_local
from agent.central_state import CentralState, Held, Kept, Refused, Trial, begun
from agent.credentials import INVITED_AGAIN
from agent.heartbeat import Told
from agent.link import Answer, Link, LinkError
from agent.rotation import Outcome, Rotation
from agent.settings import LoadedSettings
from config.central import MAX_BYTES, Document
from config.clock import Clock
from config.settings import SettingsError

log = logging.getLogger(__name__)

CONFIG_PATH = "/api/v1/agent/config"
MAX_REASON = 300
ROTATE_AGAIN_SECONDS = 60.0
LOOK_SECONDS = 2.0
"""While a configuration is on trial, how often the probes are looked at."""


class _Sent(msgspec.Struct, frozen=True):
    revision: str
    document: Document


class _HeldBack(msgspec.Struct, frozen=True):
    reason: str
    revision: str = ""


def _decoded(body: bytes) -> _Sent:
    """Raises MsgspecError."""
    try:
        return msgspec.json.decode(body, type=_Sent)
    except (RecursionError, UnicodeDecodeError) as error:
        raise msgspec.DecodeError(f"the configuration cannot be read: {type(error).__name__}") from None


class County:
    """What the county wants of this agent. ``apply`` swaps what is measured whole, or raises SettingsError;
    ``broken`` gives the probes that broke since then.
    """

    def __init__(
        self,
        *,
        local: LoadedSettings,
        state: CentralState,
        boot_id: str,
        link: Link,
        rotation: Rotation,
        clock: Clock,
        stop: threading.Event,
        apply: Callable[[LoadedSettings], None],
        broken: Callable[[], Mapping[str, str]],
        random_between: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._local = local
        self._settings = local.settings.central
        self._state = state
        self._boot_id = boot_id
        self._link = link
        self._rotation = rotation
        self._clock = clock
        self._stop = stop
        self._apply = apply
        self._broken = broken
        self._random_between = random_between
        self._news = threading.Event()
        self._told: Told | None = None
        self._dealt = ""
        self._applied = ""
        self._broken_before: frozenset[str] = frozenset()
        self._trial_ends = 0.0
        self._earliest = 0.0
        self._next_poll = self._now() + random_between(0.0, float(self._settings.every))
        self._rotate_from = 0.0
        self._failures = 0
        self._settled = False

    def first(self) -> LoadedSettings:
        """What to start with: the configuration on trial, else the last good one, else the local file."""
        if not self._settings.enabled:
            return self._local
        self._state.keep(begun(self._state.kept, self._boot_id))
        kept = self._state.kept
        if kept.refused is not None:
            self._dealt = kept.refused.revision
        for held in (kept.trial, kept.good):
            loaded = self._loaded(held) if held is not None else None
            if held is not None and loaded is not None:
                self._applied, self._dealt = held.revision, self._dealt or held.revision
                self._trial_ends = self._now() + self._settings.probation
                return loaded
        return self._local

    def said(self) -> Mapping[str, str]:
        """What the heartbeat tells of it."""
        if not self._settings.enabled:
            return {"reason": "the local file says central.enabled: false"}
        refused = self._state.kept.refused
        told = {"applied": self._applied}
        return told if refused is None else {**told, "refused": refused.revision, "reason": refused.reason}

    def hear(self, told: Told) -> None:
        """An answer to a heartbeat came. Waits for nothing."""
        self._told = told
        if told.rotate or (told.config and told.config != self._dealt):
            self._news.set()

    def run(self) -> None:
        """Follow until the agent stops."""
        while not self._stop.is_set():
            seconds = self.step()
            self._news.wait(seconds)
            self._news.clear()

    def wake(self) -> None:
        """The agent stops: remember that a trial did not end by itself."""
        trial = self._state.kept.trial
        if trial is not None:
            stopped = msgspec.structs.replace(trial, stopped=True)
            self._state.keep(msgspec.structs.replace(self._state.kept, trial=stopped))
        self._news.set()

    def step(self) -> float:
        """Do what is due; returns the seconds until there may be more."""
        self._replace_token()
        if not self._settings.enabled:
            return float(self._settings.every)
        self._watch_trial()
        now = self._now()
        if self._is_due(now):
            if now < self._earliest:
                return min(self._earliest - now, LOOK_SECONDS)
            self._fetch()
        wait = max(0.1, self._next_poll - self._now())
        return min(wait, LOOK_SECONDS) if self._state.kept.trial else wait

    def _is_due(self, now: float) -> bool:
        wanted = self._told.config if self._told else ""
        return now >= self._next_poll or bool(wanted and wanted != self._dealt)

    def _replace_token(self) -> None:
        if not self._settled:
            self._settled = self._rotation.settle() is not Outcome.LATER
        wanted = self._told is not None and self._told.rotate
        if wanted and self._now() >= self._rotate_from:
            self._rotate_from = self._now() + ROTATE_AGAIN_SECONDS
            self._rotation.rotate()

    def _fetch(self) -> None:
        central = self._settings
        try:
            self._forget_refusal()
            known = {"If-None-Match": f'"{self._dealt}"'} if self._dealt else {}
            answer = self._link.get(CONFIG_PATH, known, MAX_BYTES + 1)
            self._take(answer)
            self._failures = 0
            pause = float(central.pause)
        except (LinkError, msgspec.MsgspecError) as error:
            self._failures += 1
            log.warning("configuration not fetched error=%s", error)
            pause = min(float(central.every), central.pause * 2 ** min(self._failures, 20))
        finally:
            self._link.close()  # the next question is far away
        now = self._now()
        self._earliest = now + pause + self._random_between(0.0, float(central.pause))
        self._next_poll = now + central.every + self._random_between(0.0, float(central.pause))

    def _forget_refusal(self) -> None:
        """What was refused is tried again with each regular question (central.every): its reason may be gone,
        a certificate made, a disk emptied. What broke something is not.
        """
        refused = self._state.kept.refused
        if refused is not None and not refused.lasting and self._now() >= self._next_poll:
            self._dealt = ""

    def _take(self, answer: Answer) -> None:
        """Raises MsgspecError for what is no answer of a collector, LinkError for one that is none at all."""
        if answer.status == 200 and len(answer.body) > MAX_BYTES:
            self._refuse(self._told.config if self._told else "", f"more than {MAX_BYTES} bytes")
        elif answer.status == 200:
            sent = _decoded(answer.body)
            self._try(sent.revision, sent.document)
        elif answer.status == 403:
            held_back = msgspec.json.decode(answer.body, type=_HeldBack)
            self._refuse(held_back.revision, held_back.reason)
        elif answer.status == 401:
            raise LinkError(f"status 401; {INVITED_AGAIN}")
        elif answer.status not in (304, 404):
            raise LinkError(f"status {answer.status}")

    def _try(self, revision: str, document: Document) -> None:
        """Swap to a new document, first on trial; what cannot be used is refused, and all stays as it was."""
        kept = self._state.kept
        if revision == self._dealt:
            return
        running = kept.trial or kept.good
        if running is not None and running.revision == self._applied and running.document == document:
            self._rename(revision)
            return
        trial = Trial(revision, document, self._boot_id)
        try:
            planned = over_local(self._local, document, self._state.secrets_directory)
            self._state.put_secrets(planned.secrets)
            self._state.keep(Kept(kept.good, trial, None))
            self._broken_before = frozenset(self._broken())
            self._apply(planned.loaded)
        except (SettingsError, OSError) as error:
            self._state.keep(kept)
            self._refuse(revision, str(error))
            return
        self._dealt = self._applied = revision
        self._trial_ends = self._now() + self._settings.probation
        log.info("configuration on trial revision=%s seconds=%g", revision, self._settings.probation)

    def _rename(self, revision: str) -> None:
        """The same document by another revision: nothing is measured differently."""
        kept = self._state.kept
        trial = msgspec.structs.replace(kept.trial, revision=revision) if kept.trial else None
        good = msgspec.structs.replace(kept.good, revision=revision) if kept.good and not trial else kept.good
        self._state.keep(Kept(good, trial, None))
        self._dealt = self._applied = revision

    def _watch_trial(self) -> None:
        """Keep what stood its time; go back where a probe broke that had not broken before."""
        trial = self._state.kept.trial
        if trial is None:
            return
        broken = {name: why for name, why in self._broken().items() if name not in self._broken_before}
        if broken:
            name, why = next(iter(broken.items()))
            self._go_back(trial, f"probe {name} broke: {why}")
        elif self._now() >= self._trial_ends:
            self._state.keep(Kept(good=Held(trial.revision, trial.document)))
            self._tidy_secrets(trial.document)
            log.info("configuration kept revision=%s", trial.revision)

    def _go_back(self, trial: Trial, why: str) -> None:
        good = self._state.kept.good
        loaded = self._loaded(good) if good is not None else None
        self._applied = good.revision if good is not None and loaded is not None else ""
        self._apply(loaded or self._local)
        self._refuse(trial.revision, why, lasting=True)

    def _refuse(self, revision: str, reason: str, *, lasting: bool = False) -> None:
        self._dealt = revision
        reason = reason.removeprefix(f"{NAME}: ")
        refused = Refused(revision, reason[:MAX_REASON], lasting)
        kept = self._state.kept
        on_trial = kept.trial if kept.trial and kept.trial.revision == self._applied else None
        self._state.keep(Kept(kept.good, on_trial, refused))
        log.error("configuration refused revision=%s reason=%s", revision, reason)

    def _loaded(self, held: Held | Trial) -> LoadedSettings | None:
        """A kept document over the local file as it is now; refused when that has changed against it."""
        try:
            planned = over_local(self._local, held.document, self._state.secrets_directory)
            self._state.put_secrets(planned.secrets)
        except (SettingsError, OSError) as error:
            self._refuse(held.revision, str(error))
            return None
        return planned.loaded

    def _tidy_secrets(self, document: Document) -> None:
        try:
            planned = over_local(self._local, document, self._state.secrets_directory)
            self._state.keep_secrets(planned.secrets)
        except (SettingsError, OSError) as error:
            log.warning("old secrets stay error=%s", error)

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9
