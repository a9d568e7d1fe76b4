"""Plays an uptime scenario and compares what the collector says with what was done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from tests.lab.county import BuiltCounty, BuiltLine
from tests.lab.description import LineState
from tests.lab.netns import Lab, LabError
from tests.lab.uptime.recorded import compared
from tests.lab.uptime.scenario import Event, Expected, Scenario
from tests.lab.uptime.stage import UptimeStage

HEARD_SECONDS = 60.0
TOLERANCE_MINUTES = 1.0
FLUSH_SECONDS = 3.0
"""What was measured so shortly before an agent was killed was promised to nobody: the lab's flush is 2 s."""
LAST_SECONDS = 15.0
"""What is measured at the end may still be on its way."""


class Row(msgspec.Struct, frozen=True):
    """One thing that had to be said, what was said, and whether that is right."""

    school: str
    subject: str
    expected: str
    said: str
    right: bool


class UptimePlay:
    """One scenario on one lab."""

    def __init__(self, lab: Lab, scenario: Scenario) -> None:
        self.scenario = scenario
        self.county = BuiltCounty(lab, scenario.county)
        self.stage = UptimeStage(self.county, scenario)
        self.silences: list[tuple[float, str, str]] = []
        self.offsets: dict[str, float] = {}
        self.began_wall = 0.0
        self._dead: set[str] = set()
        self._excused: dict[str, list[tuple[float, float]]] = {}

    def run(self) -> list[Row]:
        """Play to the end. Raises LabError when the network or the programs do not stand."""
        self.county.wait_for_ipv6()
        self.stage.open()
        self._wait_until_heard()
        began, self.began_wall = time.monotonic(), time.time()
        waiting = sorted(self.scenario.timeline, key=lambda event: event.at)
        while (at := (time.monotonic() - began) / self.scenario.minute) < self.scenario.ends:
            while waiting and waiting[0].at <= at:
                self._do(waiting.pop(0))
            self._listen(at)
            time.sleep(0.5)
        return [*self._rows(), *self._kept()]

    def _wait_until_heard(self) -> None:
        deadline = time.monotonic() + HEARD_SECONDS
        wanted = {name for name, school in self.county.schools.items() if school.school.agent != "none"}
        while missing := wanted - set(self._with_minutes()):
            if time.monotonic() > deadline:
                raise LabError(f"nothing was judged of {', '.join(sorted(missing))}; {self.stage.logs()}")
            time.sleep(0.5)
        time.sleep(2 * self.scenario.minute)

    def _with_minutes(self) -> Iterator[str]:
        for school in self.county.schools:
            said = self.stage.availability(school)
            if said and any((each["all_hours"]["up_minutes"] or 0) >= 2 for each in said["subjects"]):
                yield school

    def _listen(self, at: float) -> None:
        for school in self.scenario.silent:
            said = self.stage.outages(school)
            if said and said["now"]:
                self.silences.append((at, school, said["now"]["state"]))
        for agent in self.stage.agents() if self.scenario.clock_off else []:
            offset = agent["clock_offset_seconds"]
            if offset is not None and abs(offset) > abs(self.offsets.get(agent["school"], 0.0)):
                self.offsets[agent["school"]] = offset

    def _do(self, event: Event) -> None:
        cut = event.do == "cut"
        if event.line is not None:
            self._change_line(event)
        if event.carrier is not None:
            self._cut(f"c{self.county.carrier_number(event.carrier)}", cut)
        if event.centre is not None:
            self._cut("centre", event.centre == "cut")
        if event.collector is not None:
            self.stage.cut_collector() if event.collector == "cut" else self.stage.mend_collector()
        if event.power is not None:
            self._power(event.power, off=cut)
        if event.agent is not None:
            self._do_to_agent(event.agent, event.do)
        if event.lan is not None:
            state = "down" if cut else "up"
            self.county.schools[event.lan].gateway.ip([f"link set dev box {state}"])
        if event.clock is not None:
            self.stage.step_clock(event.clock, event.step)
        if event.next_hop_silent is not None:
            self._silence(event.next_hop_silent)

    def _do_to_agent(self, school_id: str, do: str) -> None:
        if do == "mend":
            self.stage.start_agent(school_id)
        elif do == "restart":
            self.stage.announce_restart(school_id)
        else:
            self._kill(school_id)

    def _kill(self, school_id: str) -> None:
        now = time.time()
        self._excused.setdefault(school_id, []).append((now - FLUSH_SECONDS, now + 1))
        self.stage.end_agent(school_id, "kill")

    def _change_line(self, event: Event) -> None:
        line = self.county.line(event.line or "")
        if event.state is not None:
            self._set_state(line, event.state)
        if event.loss is not None:
            line.set_loss(event.loss)

    def _set_state(self, line: BuiltLine, state: LineState) -> None:
        """A path that is down: the access node answers, and forwards nothing."""
        if line.name in self._dead:
            self._dead.remove(line.name)
            line.access.nft("delete table inet dead\n")
        if state == "path_down":
            self._dead.add(line.name)
            rules = "type filter hook forward priority 0; policy drop;"
            line.access.nft(f"table inet dead {{ chain away {{ {rules} }}; }}\n")
        else:
            line.set_state(state)

    def _cut(self, port: str, cut: bool) -> None:
        """The core forwards nothing to or from one of its ports any more."""
        if not cut:
            self.county.core.nft(f"delete table inet cut_{port}\n")
            return
        chain = f'iifname "{port}" drop; oifname "{port}" drop;'
        rules = f"type filter hook forward priority 0; {chain}"
        self.county.core.nft(f"table inet cut_{port} {{ chain away {{ {rules} }}; }}\n")

    def _power(self, school_id: str, *, off: bool) -> None:
        """The agent and the gateway lose their power, or boot."""
        school = self.county.schools[school_id]
        if off:
            self._kill(school_id)
        for line in school.lines:
            line.set_state("link_down" if off else "up")
        if not off:
            self.stage.boot(school_id)
            self.stage.start_agent(school_id)

    def _silence(self, name: str) -> None:
        """The next hop of a line answers no echo request, and forwards as before."""
        rules = (
            "type filter hook input priority 0; icmp type echo-request drop; icmpv6 type echo-request drop;"
        )
        self.county.line(name).access.nft(f"table inet quiet {{ chain away {{ {rules} }}; }}\n")

    def _rows(self) -> Iterator[Row]:
        for school in self.county.schools:
            said = self.stage.outages(school)
            if said is None:
                raise LabError(f"the collector says nothing of {school}")
            yield from self._outage_rows(school, [o for o in said["outages"] if o["withdrawn_at"] is None])
            for flaps in self.scenario.flapping:
                if flaps.school == school:
                    found = [
                        each
                        for each in said["flapping"]
                        if each["subject"].removeprefix("line/")
                        in ("" if flaps.subject == "school" else flaps.subject.removeprefix("line/"))
                    ]
                    yield Row(school, flaps.subject, "flapping", str(len(found)), bool(found))
        for school, (starts, by) in self.scenario.silent.items():
            first = min(
                (at for at, name, state in self.silences if name == school and state == "silent"),
                default=None,
            )
            right = first is not None and starts <= first <= by
            yield Row(school, "now", f"silent from {starts:g} to {by:g}", f"{first}", right)
        for school, seconds in self.scenario.clock_off.items():
            offset = self.offsets.get(school, 0.0)
            yield Row(school, "clock", f"off by {seconds:g} s", f"{offset:.1f} s", abs(offset - seconds) < 5)
            aside = "points aside" in (self.stage.lab.directory / f"agent-{school}.log").read_text()
            yield Row(school, "clock", "nothing set aside", str(aside), not aside)
            yield self._whole(school)

    def _kept(self) -> Iterator[Row]:
        """Every point that an agent measured is in the store, once."""
        end = time.time()
        data = self.stage.end_collector()
        for school in self.county.schools:
            excused = [*self._excused.get(school, []), (end - LAST_SECONDS, end + 60)]
            found = compared(self.stage.recorded(school), data, school, excused)
            said = f"{len(found.missing)} missing, {len(found.too_many)} too many"
            wrong = [*found.missing, *found.too_many]
            if wrong:
                said += f": {wrong[0]}"
            yield Row(school, "points", f"{found.recorded} measured, each once", said, not wrong)

    def _whole(self, school: str) -> Row:
        """No minute is lost by a step: at most two of the scenario are unknown."""
        said = self.stage.availability(school)
        subject = said["subjects"][0]["all_hours"] if said else {"up_minutes": 0}
        known = (subject["up_minutes"] or 0) + (subject.get("degraded_minutes") or 0)
        return Row(
            school,
            "minutes",
            f"at least {self.scenario.ends - 3:g}",
            str(known),
            known >= self.scenario.ends - 3,
        )

    def _outage_rows(self, school: str, said: list[dict[str, Any]]) -> Iterator[Row]:
        left = list(said)
        for expected in self.scenario.expect:
            if expected.school != school:
                continue
            match = next((each for each in left if self._fits(expected, each)), None)
            near = [each for each in said if each["subject"] == expected.subject]
            if match is not None:
                left.remove(match)
            wanted = f"{expected.state} {expected.starts:g}-{expected.ends:g} {expected.cause}"
            found = "; ".join(map(self._words, [match] if match else near)) or "nothing"
            yield Row(school, expected.subject, wanted, found, match is not None)
        others = [each for each in left if f"{school} {each['subject']}" not in self.scenario.any_outage]
        named = {e.subject for e in self.scenario.expect if e.school == school}
        extra = [each for each in others if each["subject"] in named | {"school"}]
        said_words = "; ".join(map(self._words, extra)) or "nothing else"
        yield Row(school, "", "nothing else", said_words, not extra)

    def _fits(self, expected: Expected, said: dict[str, Any]) -> bool:
        same = (expected.subject, expected.state, expected.cause) == (
            said["subject"],
            said["state"],
            said["cause"],
        )
        return same and said["to"] is not None and all(
            abs(wanted - self._minutes(said[key])) <= TOLERANCE_MINUTES
            for wanted, key in ((expected.starts, "from"), (expected.ends, "to"))
        )  # fmt: skip

    def _words(self, said: dict[str, Any]) -> str:
        until = "…" if said["to"] is None else f"{self._minutes(said['to']):.1f}"
        return f"{said['state']} {self._minutes(said['from']):.1f}-{until} {said['cause']}"

    def _minutes(self, moment: str) -> float:
        return (datetime.fromisoformat(moment).timestamp() - self.began_wall) / self.scenario.minute
