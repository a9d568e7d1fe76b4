"""Plays a scenario: builds it, lets happen what happens, listens to the collector, judges by the truth."""

from __future__ import annotations

import logging
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

import msgspec

from config.units import Seconds
from tests.lab import addresses, ipv6, letters, services, truth
from tests.lab.county import BuiltCounty
from tests.lab.netns import Lab, LabError
from tests.lab.scenario import INCIDENT, IPV6_LEVEL, MESSAGE, STATE, Event, Expectation, Flap, Scenario
from tests.lab.stage import Stage
from tests.lab.truth import Outcome, Said

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
SETTLE_SECONDS = 3.0

History = dict[tuple[str, str], list[Said]]


class Played(msgspec.Struct, frozen=True):
    """How a scenario went. ``problems`` failed beside the verdicts, ``logs`` the programs' last lines."""

    name: str
    outcomes: tuple[Outcome, ...]
    test_bytes: int
    seconds: float
    problems: tuple[str, ...]
    logs: str = ""

    @property
    def holds(self) -> bool:
        """Everything was as the scenario says."""
        return not self.problems and all(outcome.mark == "right" for outcome in self.outcomes)


class Play:
    """One scenario on one lab."""

    def __init__(self, lab: Lab, name: str, scenario: Scenario) -> None:
        self.name = name
        self.scenario = scenario
        self.county = BuiltCounty(lab, scenario.county)
        self.stage = Stage(
            self.county, scenario.plans, scenario.probes,
            with_channels=any(expected.message for expected in scenario.expect),
        )  # fmt: skip
        self.history: History = defaultdict(list)
        self.started_at = 0.0
        self.measured_at: dict[tuple[str, str], float] = {}
        """When the deciding evidence of a message was measured, in seconds since the agents started."""

    def run(self) -> Played:
        """Play it to the end. Raises LabError when the network or the programs do not stand."""
        self.county.wait_for_ipv6()
        self.stage.open()
        started, self.started_at = time.monotonic(), time.time()
        waiting = sorted(events(self.scenario.timeline), key=lambda event: event.at)
        end = max(expected.by for expected in self.scenario.expect)
        while (now := time.monotonic() - started) < end and not (self._all_said(now) and not waiting):
            while waiting and waiting[0].at <= now:
                self.let_happen(waiting.pop(0))
            self._listen(time.monotonic() - started)
            time.sleep(max(0.0, POLL_SECONDS - (time.monotonic() - started - now)))
        outcomes = tuple(
            truth.judge(self.name, self._dated(each), self.history[each.school, each.subject])
            for each in self.scenario.expect
        )
        return Played(
            name=self.name,
            outcomes=outcomes,
            test_bytes=self.stage.test_bytes(),
            seconds=time.monotonic() - started,
            problems=tuple(self._problems()),
            logs=self.stage.logs(),
        )

    def _listen(self, at_seconds: float) -> None:
        for school in {expected.school for expected in self.scenario.expect}:
            for subject, word in self._said(school).items():
                self.history[school, subject].append(Said(at_seconds, word))

    def _said(self, school: str) -> dict[str, str]:
        """What the collector says of a school now, of what the scenario asks about."""
        asked = {expected.subject for expected in self.scenario.expect if expected.school == school}
        said = self.stage.verdicts(school)
        if IPV6_LEVEL in asked:
            said[IPV6_LEVEL] = self.stage.ipv6_level(school)
        if STATE in asked:
            said[STATE] = self.stage.state(school)
        kinds = [subject for subject in asked if subject.startswith(INCIDENT)]
        is_open = self.stage.open_incidents(school) if kinds else set()
        said |= {each: "open" if each.removeprefix(INCIDENT) in is_open else "none" for each in kinds}
        return said | self._told(school, {each for each in asked if each.startswith(MESSAGE)})

    def _told(self, school: str, asked: set[str]) -> dict[str, str]:
        told = (
            {f"{MESSAGE}{each['kind']}": each for each in self.stage.told_incidents(school)} if asked else {}
        )
        for subject, incident in told.items():
            at = datetime.fromisoformat(incident["facts"]["evidence"]["at"]).timestamp()
            self.measured_at.setdefault((school, subject), at - self.started_at)
        return {subject: "told" if subject in told else "none" for subject in asked}

    def _dated(self, expected: Expectation) -> Expectation:
        """With the times that its evidence gives it."""
        measured = self.measured_at.get((expected.school, expected.subject))
        if expected.within is None or measured is None:
            return expected
        after = max(0.0, measured)
        return msgspec.structs.replace(expected, after=Seconds(after), by=Seconds(after + expected.within))

    def _all_said(self, now: float) -> bool:
        """Every expectation is fulfilled and has stood for a while; an unknown must last to its end."""
        return all(self._stands(expected, now) for expected in self.scenario.expect)

    def _stands(self, expected: Expectation, now: float) -> bool:
        if expected.word == "unknown":
            return now >= expected.by
        heard = [said.word for said in self.history[expected.school, expected.subject]
                 if said.at_seconds >= max(expected.after, now - SETTLE_SECONDS)]  # fmt: skip
        return now >= expected.after + SETTLE_SECONDS and bool(heard) and set(heard) == {expected.word}

    def let_happen(self, event: Event) -> None:
        """Do to the network, its users or its agents what the event says."""
        log.info("happens at=%gs school=%s line=%s", event.at, event.school, event.line)
        if event.agent == "start":
            self.stage.start_agent(event.school)
        elif event.agent is not None:
            self.stage.end_agent(event.school, event.agent)
        if event.plugged_in is not None:
            ipv6.start_rogue(self.county.lab, self.county.schools[event.school].terminals[-1])
        if event.traffic is not None:
            self._move(event)
        if event.line is not None:
            self._change_line(event)

    def _change_line(self, event: Event) -> None:
        line = self.county.line(f"{event.school}/{event.line}")
        line.set_rates(event.rate_down, event.rate_up)
        if event.delay is not None:
            line.set_delay(event.delay)
        if event.loss is not None:
            line.set_loss(event.loss)
        if event.state is not None:
            line.set_state(event.state)

    def _move(self, event: Event) -> None:
        wanted, school = event.traffic, self.county.schools[event.school]
        if wanted is None:
            return
        far = addresses.centre_on(self.county.line(f"{event.school}/{wanted.line}").carrier_number)[0]
        self.county.lab.start(
            school.terminals[0],
            [sys.executable, "-I", str(services.TRAFFIC), wanted.way, far, str(services.TRAFFIC_PORT),
             str(int(wanted.rate)), str(float(wanted.seconds))], log=f"users-{event.school}")  # fmt: skip

    def _problems(self) -> Iterator[str]:
        for report in self.county.verify_wire():
            for problem in report.problems:
                yield f"wire of {report.line} {report.direction}: {problem}"
        if not self.history:
            yield f"the collector never gave a verdict: {self.stage.last_words('collector')}"
        for school, status in self.stage.ended_agents().items():
            words = self.stage.last_words(f"agent-{school}")
            yield f"the agent of {school} ended by itself with {status}: {words}"
        if self.stage.everyone is not None:
            yield from letters.differences(self.name, letters.shown(self.stage.everyone.received()))
        moved = self.stage.test_bytes()
        if moved > self.scenario.test_bytes_max:
            yield f"tests moved {moved} bytes, at most {int(self.scenario.test_bytes_max)} are allowed"


def events(timeline: tuple[Event, ...]) -> Iterator[Event]:
    """The timeline with flapping written out as downs and ups."""
    for event in timeline:
        if event.flap is None:
            yield event
        else:
            yield from _flaps(event, event.flap)


def _flaps(event: Event, flap: Flap) -> Iterator[Event]:
    for turn in range(flap.times):
        down_at = event.at + turn * (flap.down + flap.up)
        for at, state in ((down_at, "link_down"), (down_at + flap.down, "up")):
            yield msgspec.structs.replace(event, at=type(event.at)(at), flap=None, state=state)


def play(name: str, scenario: Scenario, lab: str | None = None) -> Played:
    """Build, play and take down one scenario."""
    with Lab(lab) as standing:
        return Play(standing, name, scenario).run()


__all__ = ["LabError", "Play", "Played", "events", "play"]
