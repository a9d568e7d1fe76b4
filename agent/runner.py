"""Runs any probe: its deadline, both clocks, every exception; tells how it fared as a ``probe`` point."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from agent.probe import NoData, Probe, ProbeFailed, Run
from config.clock import Clock
from config.points import FieldValue, Point, encode

log = logging.getLogger(__name__)

Sink = Callable[[Sequence[str]], None]
"""Takes lines of line protocol, one a point."""

MAX_REASON = 300
MAX_DISTINCT_ERRORS = 256


class Job(msgspec.Struct, frozen=True):
    """A probe that is ready to run, and how long one run may take in all."""

    name: str
    probe: Probe
    deadline_seconds: float
    window_seconds: float = 60.0
    continuous: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """What one run gave. ``unknown`` and ``error`` are reasons of one line; a failed run has an ``error``."""

    name: str
    wall_ns: int
    duration_seconds: float
    points: tuple[Point, ...] = ()
    lines: tuple[str, ...] = ()
    unknown: str | None = None
    error: str | None = None
    urgent: bool = False

    @property
    def success(self) -> bool:
        """The run gave points, or found that there are none."""
        return self.error is None


class Runner:
    """Runs jobs, each in the thread that calls ``run``; knows which of them are running."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self._clock = clock
        self._stop = stop
        self._lock = threading.Lock()
        self._running: dict[str, tuple[Job, int]] = {}
        self._told: set[tuple[str, str, int]] = set()
        self.broken: dict[str, str] = {}
        """The probes that broke by a bug, and how they did last."""

    def run(self, job: Job) -> Outcome:
        """Measure once. Never raises for what a probe does."""
        started_ns = self._clock.monotonic_ns()
        with self._lock:
            self._running[job.name] = (job, started_ns)
        run = Run(
            clock=self._clock,
            stop=self._stop,
            deadline_seconds=job.deadline_seconds,
            window_seconds=job.window_seconds,
        )
        try:
            points, unknown, error = self._measured(job, run)
        finally:
            with self._lock:
                del self._running[job.name]
        sound, lines, refused = _encoded(points)
        return Outcome(
            name=job.name,
            wall_ns=self._clock.wall_ns(),
            duration_seconds=(self._clock.monotonic_ns() - started_ns) / 1e9,
            points=sound,
            lines=lines,
            unknown=unknown,
            error=error or refused,
            urgent=run.urgent,
        )

    def overdue(self) -> list[Outcome]:
        """A failure for each run that is past its deadline and has not come back."""
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            running = list(self._running.values())
        late = [(job, (now_ns - since) / 1e9) for job, since in running]
        return [
            Outcome(
                name=job.name,
                wall_ns=self._clock.wall_ns(),
                duration_seconds=seconds,
                error=f"has not come back {seconds:.0f} s after its start; "
                f"its deadline is {job.deadline_seconds:g} s",
            )
            for job, seconds in late
            if seconds > job.deadline_seconds
        ]

    def _measured(self, job: Job, run: Run) -> tuple[tuple[Point, ...], str | None, str | None]:
        try:
            return tuple(job.probe.measure(run)), None, None
        except NoData as reason:
            return (), one_line(str(reason)), None
        except ProbeFailed as reason:
            log.warning("probe failed probe=%s error=%s", job.name, one_line(str(reason)))
            return (), None, one_line(str(reason))
        except Exception as error:  # noqa: BLE001
            # a probe's bug must not end the agent: it is logged and told
            self._tell_bug(job.name, error)
            return (), None, one_line(f"{type(error).__name__}: {error}")

    def _tell_bug(self, name: str, error: Exception) -> None:
        """The traceback once for each distinct error, a line after that."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        key = (name, type(error).__name__, trace.tb_lineno if trace else 0)
        self.broken[name] = one_line(f"{type(error).__name__}: {error}")
        first = key not in self._told and len(self._told) < MAX_DISTINCT_ERRORS
        self._told.add(key) if first else None
        log.error(
            "probe broke probe=%s error=%s: %s",
            name,
            type(error).__name__,
            one_line(str(error)),
            exc_info=error if first else None,
        )


class Total(msgspec.Struct, frozen=True):
    """What came of a probe since the agent started, and of its last run."""

    runs: int = 0
    failures: int = 0
    duration_seconds: float = 0.0
    success: bool = False


class Reporter:
    """Hands on what runs gave, and a ``probe`` point for each probe: one a run, or, for a watching probe that
    comes back more often, at most one each ``every_seconds``, which counts the runs and failures since.
    """

    def __init__(
        self, sink: Sink, clock: Clock, every_seconds: float, hasten: Callable[[], None] = lambda: None
    ) -> None:
        """``hasten`` is called after points that shall not wait for their batch to fill."""
        self._sink = sink
        self._hasten = hasten
        self._clock = clock
        self._every_ns = round(every_seconds * 1e9)
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}
        self._totals: dict[str, Total] = {}

    def totals(self) -> dict[str, Total]:
        """By probe, as of now."""
        with self._lock:
            return dict(self._totals)

    def report(self, outcome: Outcome, *, continuous: bool) -> None:
        """Hand on the points of a run, and the ``probe`` point when it is due."""
        point = self._accounted(outcome, continuous)
        lines = [*outcome.lines, *([encode(point)] if point else [])]
        if lines:
            self._sink(lines)
        if outcome.urgent:
            self._hasten()

    def _accounted(self, outcome: Outcome, continuous: bool) -> Point | None:
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            before = self._totals.get(outcome.name, Total())
            self._totals[outcome.name] = Total(
                before.runs + 1,
                before.failures + (not outcome.success),
                outcome.duration_seconds,
                outcome.success,
            )
            account = self._accounts.setdefault(outcome.name, _Account())
            account.runs += 1
            account.failures += not outcome.success
            if continuous and account.told_ns is not None and now_ns - account.told_ns < self._every_ns:
                return None
            self._accounts[outcome.name] = _Account(told_ns=now_ns)
        return probe_point(outcome, account.runs, account.failures)


class _Account(msgspec.Struct):
    told_ns: int | None = None
    runs: int = 0
    failures: int = 0


def probe_point(outcome: Outcome, runs: int = 1, failures: int | None = None) -> Point:
    """The ``probe`` point that tells how a probe fared."""
    fields: dict[str, FieldValue] = {
        "success": outcome.success,
        "duration_seconds": outcome.duration_seconds,
        "runs": runs,
        "failures": int(not outcome.success) if failures is None else failures,
    }
    if outcome.unknown is not None:
        fields["unknown"] = outcome.unknown
    if outcome.error is not None:
        fields["error"] = outcome.error
    return Point("probe", {"probe": outcome.name}, fields, outcome.wall_ns)


def one_line(text: str) -> str:
    """A reason as one printable line of at most 300 characters; «no reason given» for an empty one."""
    words = " ".join(text.split())
    printable = "".join(character if character.isprintable() else "?" for character in words)
    return printable[:MAX_REASON] or "no reason given"


def _encoded(points: Sequence[Any]) -> tuple[tuple[Point, ...], tuple[str, ...], str | None]:
    """Encode each point; what line protocol cannot carry is left out and told."""
    sound, lines, refused = [], [], None
    for point in points:
        try:
            lines.append(encode(point))
            sound.append(point)
        except (ValueError, TypeError, AttributeError) as error:
            refused = one_line(f"gave a point that cannot be written: {error}")
    return tuple(sound), tuple(lines), refused
