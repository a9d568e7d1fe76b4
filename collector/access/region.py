"""Above the county: what several counties say of themselves, read from each one's API with a token of ours.

A region reads and changes nothing. A county that does not answer is shown as such, with what it said last and
how old that is: never as zero, and never left out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import urllib3

from collector.access.settings import CountySettings, RegionSettings
from collector.bodies import json_of
from collector.verdicts.ticker import Ticker
from config.clock import Clock

MAX_ANSWER_BYTES = 4 * 1024 * 1024
AT_ONCE = 8
TICK_SECONDS = 1.0
NS = 10**9

log = logging.getLogger(__name__)


class Share(msgspec.Struct, frozen=True):
    """How a county's schools stand on one target."""

    target: str
    kind: str
    quote: str
    schools: int
    met: int
    not_met: int
    unknown: int


class CountyPlan(msgspec.Struct, frozen=True):
    """A plan of a county with its shares."""

    id: str
    title: str
    targets: list[Share]


class CountyFigures(msgspec.Struct, frozen=True):
    """What a county's ``/api/v1/plans`` says."""

    plans: list[CountyPlan]
    schools: int
    at: datetime


class CountyReport(msgspec.Struct, frozen=True):
    """One county. ``figures`` are the last that it gave, null before the first; ``age_seconds`` is theirs.

    ``reached`` is False when the last question was not answered, and ``error`` says why.
    """

    id: str
    name: str
    reached: bool
    error: str | None
    asked_at: datetime | None
    figures: CountyFigures | None
    age_seconds: float | None


class NoFigures(Exception):
    """Why a county gave nothing, in one line without secrets."""


class Region:
    """Asks every county in turn, in a thread of its own; ``counties`` gives what is known at once."""

    def __init__(self, settings: RegionSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._known = {
            county.id: CountyReport(
                county.id, county.name or county.id, reached=False, error="not asked yet", asked_at=None,
                figures=None, age_seconds=None,
            )
            for county in settings.counties
        }  # fmt: skip
        self._due_ns = 0
        self._ticker = Ticker([self.tick], TICK_SECONDS)

    def start(self) -> None:
        """Begin to ask, if there are counties."""
        if self._settings.counties:
            self._ticker.start()

    def stop(self) -> None:
        """End after the question at hand. Idempotent."""
        self._ticker.stop()

    def counties(self) -> list[CountyReport]:
        """Every county as it is known now, in the order of the settings."""
        now = datetime.now(UTC)
        with self._lock:
            known = list(self._known.values())
        return [msgspec.structs.replace(each, age_seconds=_age(each, now)) for each in known]

    def tick(self) -> None:
        """Ask the counties if it is time."""
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + round(self._settings.every * NS)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="region") as pool:
            list(pool.map(self._ask, self._settings.counties))

    def _ask(self, county: CountySettings) -> None:
        figures, error = None, None
        try:
            figures = self._figures(county)
        except NoFigures as reason:
            error = str(reason)
            log.warning("county not reached county=%s reason=%s", county.id, reason)
        with self._lock:
            before = self._known[county.id]
            self._known[county.id] = msgspec.structs.replace(
                before, reached=figures is not None, error=error, asked_at=datetime.now(UTC),
                figures=figures or before.figures,
            )  # fmt: skip

    def _figures(self, county: CountySettings) -> CountyFigures:
        http = urllib3.PoolManager(
            timeout=self._settings.timeout, retries=False, ca_certs=county.ca_file or None,
            cert_reqs="CERT_REQUIRED",
        )  # fmt: skip
        headers = {"Authorization": f"Bearer {_token(county)}", "Accept": "application/json"}
        url = f"{county.url.rstrip('/')}/api/v1/plans"
        try:
            answer = http.request("GET", url, headers=headers, redirect=False, preload_content=False)
            try:
                body = answer.read(MAX_ANSWER_BYTES + 1)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise NoFigures(f"does not answer: {type(error).__name__}") from None
        finally:
            http.clear()
        if answer.status != 200:
            raise NoFigures(f"answers with status {answer.status}")
        try:
            return json_of(body[: MAX_ANSWER_BYTES + 1], CountyFigures)
        except msgspec.DecodeError:
            raise NoFigures("gives an answer that cannot be read") from None


def titles(counties: Sequence[CountyReport]) -> dict[str, str]:
    """Every plan of every county by its id."""
    known = [plan for each in counties if each.figures is not None for plan in each.figures.plans]
    return {plan.id: plan.title for plan in known}


def _token(county: CountySettings) -> str:
    try:
        return Path(county.token_file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NoFigures(f"its token_file cannot be read: {type(error).__name__}") from None


def _age(report: CountyReport, now: datetime) -> float | None:
    return None if report.figures is None else max(0.0, (now - report.figures.at).total_seconds())
