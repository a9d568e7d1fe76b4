"""One function for each kind of incident: what the rooms know, as conditions that hold, are over, or unknown.

All are pure over one ``Look``. A function tells of every condition that holds, and of every one that stands
as an incident; for what it does not tell of, nothing is known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

import msgspec

from collector.incidents.model import EvidenceReference, Facts, Key, Kind, LikelyCause, LookAt, Quantity
from collector.incidents.rules import KindRules
from collector.incidents.seen import Seen
from collector.incidents.signs import LineSign, Link
from collector.ingest.liveness import Heard
from collector.uptime.causes import Cause
from collector.uptime.history import Outage
from collector.uptime.minutes import SCHOOL
from collector.uptime.presence import Presence
from config.evidence import Evidence, EvidenceKind, Ipv6Level
from config.school import Line, School
from config.verdict import Answer, Verdict

HEARD_LATELY_SECONDS = 60.0
PORT_ALONE = timedelta(minutes=5)
"""So long a port has a link before that alone says that its line works: probes, if any, have said by then."""
ROUTERS = "routers"
ROUTERS_TOLD_ONE_BY_ONE = 3


class Judged(msgspec.Struct, frozen=True):
    """A target that stands as not met: its verdict as it was judged, the transition, and the plan."""

    verdict: Verdict
    since: datetime
    number: int
    plan_title: str


class Look(msgspec.Struct, frozen=True):
    """Everything that conditions are read from, at one moment.

    ``standing`` are the keys of the incidents that are not resolved. ``answers`` are those of the targets
    that stand among them, by key; a target that is judged no more is absent. ``silent_seconds`` of agents by
    the collector's clock.
    """

    now: datetime
    started_at: datetime
    schools: Mapping[str, School]
    lines: Mapping[str, tuple[Line, ...]]
    presence: Mapping[str, Presence]
    outages: tuple[Outage, ...]
    agents: tuple[Heard, ...]
    silent_seconds: Mapping[str, float]
    not_met: tuple[Judged, ...]
    answers: Mapping[Key, Answer]
    signs: Mapping[Key, Seen]
    line_signs: Mapping[tuple[str, str], LineSign]
    links: Mapping[tuple[str, str], Link]
    last_points: Mapping[str, datetime]
    standing: frozenset[Key]
    rules: KindRules

    def of_kind(self, kind: Kind) -> Iterator[Key]:
        """The keys of this kind that stand as incidents."""
        return (key for key in self.standing if key.kind == kind)

    def is_told(self, seen: Seen) -> bool:
        """What does not hold is of interest only where it stands as an incident."""
        return bool(seen.holds) or seen.key in self.standing

    def line_sign(self, school_id: str, line: str) -> LineSign:
        """What pings over a line say."""
        return self.line_signs.get((school_id, line), LineSign())

    def is_heard(self, school_id: str) -> bool:
        """The school is heard now."""
        found = self.presence.get(school_id)
        return found is not None and found.state == "heard"


def conditions(look: Look) -> dict[Key, Seen]:
    """Every condition that holds or is known to be over, by key."""
    found = {seen.key: seen for function in _FUNCTIONS for seen in function(look)}
    return {key: seen for key, seen in found.items() if look.rules.of(key.kind).enabled or not seen.holds}


def below_target(look: Look) -> Iterator[Seen]:
    """Targets that stand as not met, of plans that have not lapsed."""
    told = set()
    for each in look.not_met:
        if _is_asked(each.verdict, look):
            seen = _of_target(each)
            told.add(seen.key)
            yield seen
    for key in look.of_kind("below_target"):
        if key not in told:
            answer = look.answers.get(key)
            unknown = answer is Answer.UNKNOWN
            yield Seen(key, None if unknown else False, look.now)


def _is_asked(verdict: Verdict, look: Look) -> bool:
    overdue = look.now.date() > verdict.deadline
    asked = overdue or not look.rules.below_target.overdue_only
    return verdict.counts and verdict.due != "lapsed" and verdict.school in look.schools and asked


def _of_target(judged: Judged) -> Seen:
    verdict = judged.verdict
    measured, target = _quantities(verdict)
    deciding = next(iter(verdict.evidence), None)
    subject = deciding.subject if deciding else ""
    cause, look_at = _lacks(verdict.kind, deciding)
    facts = Facts(
        measured, target,
        EvidenceReference("verdict", deciding.at if deciding else judged.since,
                          deciding.kind.value if deciding else "",
                          {"line": subject} if subject else {}, judged.number),
        cause, look_at, verdict.plan, verdict.target, verdict.quote,
        {"target_kind": verdict.kind, "deadline": verdict.deadline.isoformat(),
         "plan_title": judged.plan_title},
    )  # fmt: skip
    return Seen(target_key(verdict.school, verdict.plan, verdict.target), True, judged.since, facts)


def _lacks(target_kind: str, deciding: Evidence | None) -> tuple[LikelyCause, LookAt]:
    """What is likely to be wanting where a target is not met, and where to look first."""
    if target_kind == "ipv6":
        return "configuration", "ipv6_checks"
    if deciding is not None and deciding.kind is EvidenceKind.PORT_SPEED:
        return "port", "port_speed"
    return "capacity", "capacity_test"


def _quantities(verdict: Verdict) -> tuple[Quantity | None, Quantity | None]:
    target = Quantity(verdict.needed, "bit/s") if verdict.needed is not None else None
    for each in verdict.evidence:
        if isinstance(each.observed, Ipv6Level):
            return Quantity(each.observed.at_most, "level"), target
        if each.upper_bits_per_second is not None:
            return Quantity(each.upper_bits_per_second, "bit/s"), target
    return None, target


def line_down(look: Look) -> Iterator[Seen]:
    """Lines with an outage that goes on, that nothing answers for some minutes, or of which no port has a
    link.
    """
    told: dict[Key, Seen] = {}
    for outage in look.outages:
        seen = _of_outage(outage, look)
        if seen is not None:
            told[seen.key] = seen
    for school_id, line in dict.fromkeys([*look.line_signs, *look.links]):
        key = line_key(school_id, line)
        proof = _sign_of_down(school_id, line, look) if key not in told else None
        if proof is not None:
            told[key] = _of_line(key, line, proof, look)
    for school_id, lines in look.lines.items():
        if len(lines) < 2:
            continue
        whole = Key("line_down", school_id, "school")
        mine = [told.get(line_key(school_id, line.id)) for line in lines]
        dead = [each for each in mine if each is not None]
        if len(dead) == len(lines) and whole not in told:
            since = max(each.since for each in dead)
            told[whole] = msgspec.structs.replace(dead[0], key=whole, since=since, within=None)
    yield from (_with_others(each, look) for each in told.values())
    yield from (_line_over(key, look) for key in look.of_kind("line_down") if key not in told)


def _of_outage(outage: Outage, look: Look) -> Seen | None:
    school = look.schools.get(outage.school_id)
    lines = look.lines.get(outage.school_id, ())
    if school is None or (outage.subject == SCHOOL and len(lines) == 1):
        return None  # a school of one line: the outage of that line stands beside
    whole = Key("line_down", outage.school_id, "school")
    line = outage.subject.removeprefix("line/")
    key = whole if outage.subject == SCHOOL else line_key(outage.school_id, line)
    cause, look_at = _CAUSES[outage.cause]
    facts = Facts(
        evidence=EvidenceReference("outage", outage.started_at, "ping", number=outage.id),
        cause=cause, look_at=look_at, values={"line": line} if line else {},
    )  # fmt: skip
    return Seen(
        key, True, outage.started_at, facts, _carriers(lines, line), outage.cause is Cause.CENTRE,
        None if key == whole else whole,
    )  # fmt: skip


def _of_line(key: Key, line: str, proof: EvidenceReference, look: Look) -> Seen:
    facts = Facts(evidence=proof, cause="line", look_at="line_and_modem", values={"line": line})
    lines = look.lines.get(key.school_id, ())
    whole = Key("line_down", key.school_id, "school")
    return Seen(key, True, proof.at, facts, _carriers(lines, line), within=whole)


def _with_others(seen: Seen, look: Look) -> Seen:
    """With the lines of the school over which probes are answered meanwhile."""
    school_id = seen.key.school_id
    lines = [line.id for line in look.lines.get(school_id, ())]
    up = [line for line in lines if look.line_sign(school_id, line).down is False]
    others = [line for line in up if line_key(school_id, line) != seen.key]
    if not others or seen.key.subject == "school":
        return seen
    values = {**seen.facts.values, "lines_up": " ".join(others)}
    return msgspec.structs.replace(seen, facts=msgspec.structs.replace(seen.facts, values=values))


def _line_over(key: Key, look: Look) -> Seen:
    """Over where its probes are answered again, or where none tell of it and a port of it has long had a
    link, or it is no line any more; what is not heard is unknown.
    """
    lines = [line.id for line in look.lines.get(key.school_id, ())]
    mine = lines if key.subject == "school" else [key.subject.removeprefix("line/")]
    if not set(mine) & set(lines):
        return Seen(key, False, look.now)
    signs = [look.line_sign(key.school_id, line) for line in mine]
    works = next(((each.at or look.now) for each in signs if each.down is False), None)
    links = [look.links.get((key.school_id, line)) for line in mine]
    linked = next((each.since for each in links if each and _is_long_up(each, look)), None)
    over = works or linked
    return Seen(key, None if over is None else False, over or look.now)


def _is_long_up(link: Link, look: Look) -> bool:
    return link.up and look.now - link.since >= PORT_ALONE


def school_silent(look: Look) -> Iterator[Seen]:
    """Schools of which nothing is heard, by the collector's own clock."""
    for school_id, presence in look.presence.items():
        key = Key("school_silent", school_id, "school")
        if presence.state == "silent":
            yield _of_silence(key, presence, look)
        elif key in look.standing:
            over = presence.state in ("heard", "no_agent")
            yield Seen(key, False if over else None, presence.heard_at or look.now)
    for key in look.of_kind("school_silent"):
        if key.school_id not in look.presence:
            yield Seen(key, False, look.now)


def _of_silence(key: Key, presence: Presence, look: Look) -> Seen:
    since = look.now - timedelta(seconds=presence.silent_seconds or 0.0)
    answers = presence.gateway_answers
    cause: LikelyCause = "agent" if answers else "unknown"
    facts = Facts(
        evidence=EvidenceReference("presence", presence.heard_at or since), cause=cause,
        look_at="agent_spool" if answers else "power_and_gateway",
        values={} if answers is None else {"gateway_answers": int(answers)},
    )  # fmt: skip
    return Seen(key, True, since, facts, _carriers(look.lines.get(key.school_id, ())))


def one_line_left(look: Look) -> Iterator[Seen]:
    """Schools of several lines of which one alone works, by their probes or by their ports."""
    for school_id, lines in look.lines.items():
        key = Key("one_line_left", school_id, "school")
        if len(lines) < 2:
            if key in look.standing:
                yield Seen(key, False, look.now)
            continue
        down = {line.id: proof for line in lines if (proof := _proof_of_down(school_id, line.id, look))}
        left = [line.id for line in lines if line.id not in down]
        if len(left) == 1:
            yield _of_left(key, down, left[0])
        elif key in look.standing:
            links = [look.links.get((school_id, line.id)) for line in lines]
            known = any(look.line_sign(school_id, line.id).down is False for line in lines) or any(
                each is not None and each.up for each in links
            )
            yield Seen(key, False if known and not down else None, look.now)


def _proof_of_down(school_id: str, line: str, look: Look) -> EvidenceReference | None:
    """By what a line is known to be down, the surest first, and since when; None where it is not."""
    for outage in look.outages:
        if outage.school_id == school_id and outage.subject == f"line/{line}":
            return EvidenceReference("outage", outage.started_at, "ping", number=outage.id)
    return _sign_of_down(school_id, line, look)


def _sign_of_down(school_id: str, line: str, look: Look) -> EvidenceReference | None:
    """Where ports without a link and answers contradict each other, newer answers tell: they came this
    way.
    """
    sign, link = look.line_sign(school_id, line), look.links.get((school_id, line))
    if link is not None and not link.up and not sign.answered_since(link.since):
        return EvidenceReference("point", link.since, "interface", {"line": line, "interface": link.port})
    return EvidenceReference("point", sign.at, "ping", {"line": line}) if sign.down and sign.at else None


def _of_left(key: Key, down: Mapping[str, EvidenceReference], left: str) -> Seen:
    last = max(down, key=lambda line: down[line].at)
    facts = Facts(
        evidence=down[last], cause="line", look_at="other_line", values={"line": last, "lines_left": left}
    )
    return Seen(key, True, down[last].at, facts, within=line_key(key.school_id, last))


def by_points(look: Look) -> Iterator[Seen]:
    """What live points tell by themselves: IPv6, latency, ports, certificates."""
    for key, seen in look.signs.items():
        if key.kind != "rogue_router" and look.is_told(seen) and key.school_id in look.schools:
            yield seen


def rogue_routers(look: Look) -> Iterator[Seen]:
    """Routers one by one; of a school with more than a few of them, which is a flood, all as one."""
    found: dict[str, list[Seen]] = defaultdict(list)
    for key, seen in look.signs.items():
        if key.kind == "rogue_router" and key.school_id in look.schools:
            found[key.school_id].append(_gone(seen, look))
    for key in look.of_kind("rogue_router"):
        if key not in look.signs and key.subject != ROUTERS:
            found[key.school_id].append(_gone(Seen(key, None, look.started_at), look))
    for school_id, mine in found.items():
        yield from _routers_of(Key("rogue_router", school_id, ROUTERS), mine, look)


def _routers_of(many: Key, mine: list[Seen], look: Look) -> Iterator[Seen]:
    strangers = [each for each in mine if each.holds]
    if len(strangers) <= ROUTERS_TOLD_ONE_BY_ONE:
        yield from mine
        if many in look.standing:
            yield Seen(many, False, look.now)
        return
    newest = max(strangers, key=lambda each: each.since)
    values = {**newest.facts.values, "routers": len(strangers)}
    facts = msgspec.structs.replace(newest.facts, values=values)
    yield Seen(many, True, min(each.since for each in strangers), facts)
    yield from (
        msgspec.structs.replace(each, within=many) if each.holds else each
        for each in mine
        if each.key in look.standing
    )


def _gone(seen: Seen, look: Look) -> Seen:
    """A router that agents, who tell of it every hour, have not told of for longer is gone."""
    told = seen.facts.evidence.at if seen.facts.evidence else look.started_at
    after = timedelta(seconds=look.rules.rogue_router.gone_after)
    if seen.holds is False or look.now - told < after or not look.is_heard(seen.key.school_id):
        return seen
    return msgspec.structs.replace(seen, holds=False, since=look.now)


def clock_off(look: Look) -> Iterator[Seen]:
    """Agents whose wall clock is off, as their heartbeats tell it."""
    limit = float(look.rules.clock_off.offset)
    for agent in look.agents:
        silent = look.silent_seconds.get(agent.agent_id)
        if agent.clock_offset_ns is None or silent is None or silent > HEARD_LATELY_SECONDS:
            continue
        offset = agent.clock_offset_ns / 1e9
        key = Key("clock_off", agent.school_id, f"agent/{agent.agent_id}")
        if abs(offset) <= limit and key not in look.standing:
            continue
        facts = Facts(
            Quantity(round(offset, 1), "s"), Quantity(limit, "s"),
            EvidenceReference("presence", look.now), "clock", "time_service",
            values={"agent": agent.agent_id},
        )  # fmt: skip
        yield Seen(key, abs(offset) > limit, look.now, facts)


def data_gap(look: Look) -> Iterator[Seen]:
    """Schools that are heard, and of which no new point comes."""
    for school_id, presence in look.presence.items():
        key = Key("data_gap", school_id, "school")
        last = max(look.last_points.get(school_id, look.started_at), look.started_at)
        late = look.now - last > timedelta(seconds=look.rules.data_gap.holds_for)
        if presence.state != "heard":
            if key in look.standing:
                yield Seen(key, None, look.now)
        elif late or key in look.standing:
            facts = Facts(evidence=EvidenceReference("point", last), cause="agent", look_at="agent_spool")
            fresh = look.now - last < timedelta(seconds=look.rules.data_gap.holds_for) / 2
            yield Seen(key, True if late else False if fresh else None, last, facts)


def target_key(school_id: str, plan: str, target: str) -> Key:
    """The key of a target below which a school is."""
    return Key("below_target", school_id, f"target/{plan}/{target}")


def line_key(school_id: str, line: str) -> Key:
    """The key of a line that is down."""
    return Key("line_down", school_id, f"line/{line}")


def _carriers(lines: Iterable[Line], line: str = "") -> tuple[str, ...]:
    return tuple(sorted({each.carrier for each in lines if each.carrier and line in ("", each.id)}))


_CAUSES: Mapping[Cause, tuple[LikelyCause, LookAt]] = {
    Cause.POWER: ("power", "power_and_gateway"),
    Cause.AGENT: ("agent", "agent_spool"),
    Cause.RESTART: ("agent", "agent_spool"),
    Cause.LAN: ("lan", "power_and_gateway"),
    Cause.LINE: ("line", "line_and_modem"),
    Cause.CARRIER: ("carrier", "carrier_hotline"),
    Cause.CENTRE: ("centre", "centre_network"),
    Cause.UNKNOWN: ("unknown", "line_and_modem"),
}
_FUNCTIONS: tuple[Callable[[Look], Iterable[Seen]], ...] = (
    below_target, line_down, school_silent, one_line_left, by_points, rogue_routers, clock_off, data_gap,
)  # fmt: skip
