"""Targets that ask for no rate: two networks, coverage, IPv6, and what can only be declared."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from itertools import combinations

from config.bounds import Bound, Span, best, span_of
from config.case import Case
from config.evidence import AccessPoints, Declared, Evidence, EvidenceKind, Ipv6Checks, Ipv6Level, Uplink
from config.plan import Covers, Target
from config.readiness import CHECKS, Levels, Result, levels_of, merge
from config.school import Line, Place, Survey, fact_on
from config.verdict import Answer, Finding, Reason, Settles

WORKING_IPV6_LEVEL = 3
UNNAMED = Covers()
"""A coverage target that names no place."""


def two_fibre_networks(target: Target, case: Case) -> Finding:  # noqa: ARG001 (all targets are judged alike)
    """Two uplinks up at once, on fibre, with different next hops.

    An uplink that is down is no proof that it was never built: it leaves the pair open. Fibre that ends in a
    modem with a copper port can only be declared (the line's ``medium``); the rest must then be measured.
    """
    seen = {line.id: _merged(case.seen(Uplink, line.id)) for line in case.lines}
    evidence = tuple(each for line in case.lines for each in case.seen(Uplink, line.id)[:1])
    pairs = [_pair(one, other, seen) for one, other in combinations(case.lines, 2)]
    settles = Settles("observe_uplinks") if pairs else Settles("declare_lines")
    for answer in (Answer.MET, Answer.UNKNOWN, Answer.NOT_MET):
        for found, reasons in pairs:
            if found is answer:
                unknown = answer is Answer.UNKNOWN
                return Finding(answer, reasons, evidence, settles=settles if unknown else None)
    reason = Reason("one_line_declared" if case.lines else "no_line_declared")
    return Finding(Answer.UNKNOWN, (reason,), evidence, settles=settles)


def coverage(target: Target, case: Case) -> Finding:
    """Access points online of those installed, and wired ports in use; which places they reach is a survey's
    word. Measured and surveyed together are met; access points that are off are not met; else it is unknown.
    """
    covers = target.covers or UNNAMED
    parts = [
        part for asked, part in ((_asks_wireless(covers), _wireless), (_asks_wired(covers), _wired)) if asked
    ]
    measured = [part(case) for part in parts]
    if covers.either:
        measured.append(max(_wireless(case), _wired(case), key=lambda each: each.answer is Answer.MET))
    survey = _survey(case)
    surveyed, about_survey = _surveyed(covers, survey)
    answers = [*(each.answer for each in measured), *([] if surveyed else [Answer.UNKNOWN])]
    answer = _all_of(answers)
    reasons = (*(reason for each in measured for reason in each.reasons), *about_survey)
    evidence = tuple(item for each in measured for item in each.evidence)
    wanting = next((each.settles for each in measured if each.settles), Settles("declare_survey"))
    beside = (_survey_evidence(survey, case),) if survey else ()
    return Finding(answer, reasons, evidence, beside, wanting if answer is Answer.UNKNOWN else None)


def ipv6(target: Target, case: Case) -> Finding:
    """The readiness level of the school from its checks, where some agent ran them; else that of the best
    line, or of the campus as a whole, as far as it is known otherwise.
    """
    checked = case.seen(Ipv6Checks)
    return _ipv6_by_checks(target, checked) if checked else _ipv6_by_levels(target, case)


def _ipv6_by_checks(target: Target, checked: list[Evidence]) -> Finding:
    asked = target.ipv6_level or WORKING_IPV6_LEVEL
    views = [each.observed for each in checked if isinstance(each.observed, Ipv6Checks)]
    results = merge((view.passed, view.failed) for view in views)
    levels = levels_of(results)
    reasons = [Reason("ipv6_level", {**levels._asdict(), "asked": asked})]
    for result, code in ((Result.FAIL, "ipv6_checks_failed"), (Result.UNKNOWN, "ipv6_checks_unknown")):
        wanting = [c.number for c in CHECKS if c.level <= asked and results.get(c.number) is result]
        if wanting:
            reasons.append(Reason(code, {"checks": ", ".join(map(str, wanting))}))
    answer = _reached(levels, asked)
    settles = Settles("check_ipv6") if answer is Answer.UNKNOWN else None
    return Finding(answer, tuple(reasons), tuple(checked), settles=settles)


def _reached(levels: Levels, asked: int) -> Answer:
    if levels.at_least >= asked:
        return Answer.MET
    return Answer.NOT_MET if levels.at_most < asked else Answer.UNKNOWN


def _ipv6_by_levels(target: Target, case: Case) -> Finding:
    asked = target.ipv6_level or WORKING_IPV6_LEVEL
    whole = [each for each in case.seen(Ipv6Level) if each.about == "campus"]
    spans = [_levels(case.seen(Ipv6Level, line.id), case) for line in case.lines]
    span = _levels(whole, case) if whole else best(spans)
    at_least, at_most = span.lower or 0, 4 if span.upper is None else span.upper
    evidence = span.disputed or (
        *span.lower_by,
        *(each for each in span.upper_by if each not in span.lower_by),
    )
    reason = Reason("ipv6_level", {"at_least": at_least, "at_most": at_most, "asked": asked})
    if not evidence:
        reason = Reason("no_evidence")
    elif span.disputed:
        reason = Reason("contradiction", {"lower": at_least, "upper": at_most})
    answer = _reached(Levels(at_least, at_most), asked)
    settles = Settles("check_ipv6") if answer is Answer.UNKNOWN else None
    return Finding(answer, (reason,), evidence, settles=settles)


def declared(target: Target, case: Case) -> Finding:
    """What can only be declared is shown with who said so and when; it is never met and never missed."""
    fact = fact_on(case.school, target.fact, case.day) if target.fact else None
    if fact is None:
        return Finding(Answer.UNKNOWN, (Reason("not_declared"),), settles=Settles("declare_fact"))
    value = "yes" if fact.holds else "no"
    item = Evidence(
        EvidenceKind.DECLARED,
        case.school.id,
        datetime.combine(fact.declared_on, time(), case.calendar.time_zone),
        judges=False,
        note=fact.note,
        about="campus",
        observed=Declared(fact.name, value, fact.declared_by),
    )
    values = {"value": value, "declared_by": fact.declared_by, "declared_on": fact.declared_on.isoformat()}
    return Finding(Answer.UNKNOWN, (Reason("only_declared", dict(values)),), (), (item,))


def _merged(newest_first: list[Evidence]) -> Uplink:
    """Each property as it was seen last."""
    seen = [each.observed for each in newest_first if isinstance(each.observed, Uplink)]
    return Uplink(
        up=next((each.up for each in seen if each.up is not None), None),
        port_type=next((each.port_type for each in seen if each.port_type), None),
        next_hop=next((each.next_hop for each in seen if each.next_hop), None),
    )


def _pair(one: Line, other: Line, seen: dict[str, Uplink]) -> tuple[Answer, tuple[Reason, ...]]:
    first, second = seen[one.id], seen[other.id]
    for line in (one, other):
        if _is_fibre(line, seen[line.id]) is False:
            return Answer.NOT_MET, (Reason("not_fibre", {"line": line.id}),)
    if first.next_hop and first.next_hop == second.next_hop:
        return Answer.NOT_MET, (Reason("same_next_hop", {"next_hop": first.next_hop}),)
    down = [line.id for line in (one, other) if seen[line.id].up is False]
    if down:
        return Answer.UNKNOWN, tuple(Reason("uplink_down", {"line": line_id}) for line_id in down)
    on_fibre = all(_is_fibre(line, seen[line.id]) for line in (one, other))
    if not (first.up and second.up and first.next_hop and second.next_hop and on_fibre):
        return Answer.UNKNOWN, (Reason("uplinks_unseen"),)
    said = [line.id for line in (one, other) if seen[line.id].port_type != "fibre"]
    fibre_declared = (Reason("fibre_declared", {"line": line_id}) for line_id in said)
    return Answer.MET, (Reason("two_networks", {"first": one.id, "second": other.id}), *fibre_declared)


def _is_fibre(line: Line, seen: Uplink) -> bool | None:
    """The port's own word first; a copper port may stand behind a modem on fibre, which only is declared."""
    if seen.port_type == "fibre" or line.medium == "fibre":
        return True
    return False if seen.port_type and line.medium in {"copper", "wireless"} else None


def _asks_wireless(covers: Covers) -> bool:
    return bool(covers.wireless) or covers == UNNAMED


def _asks_wired(covers: Covers) -> bool:
    return bool(covers.wired)


def _wireless(case: Case) -> Finding:
    """Each controller at its best within the age that counts: access points sleep at night."""
    at_best: dict[str, tuple[float, AccessPoints, Evidence]] = {}
    for each in case.seen(AccessPoints):
        points = each.observed
        if isinstance(points, AccessPoints) and points.installed > 0:
            share = points.online / points.installed
            if each.subject not in at_best or share > at_best[each.subject][0]:
                at_best[each.subject] = (share, points, each)
    if not at_best:
        return Finding(Answer.UNKNOWN, (Reason("no_controller_seen"),), settles=Settles("poll_controller"))
    online = sum(points.online for _, points, _ in at_best.values())
    installed = sum(points.installed for _, points, _ in at_best.values())
    answer = Answer.MET if online >= installed * case.rules.access_points_share else Answer.NOT_MET
    reason = Reason("access_points", {"online": online, "installed": installed})
    return Finding(answer, (reason,), tuple(item for _, _, item in at_best.values()))


def _wired(case: Case) -> Finding:
    ports = case.ports("access_port")
    if not ports:
        return Finding(Answer.UNKNOWN, (Reason("no_wired_port_seen"),), settles=Settles("poll_switches"))
    newest = max((item for span in ports.values() for item in span.lower_by), key=lambda each: each.at)
    return Finding(Answer.MET, (Reason("wired_ports", {"ports": len(ports)}),), (newest,))


def _survey(case: Case) -> Survey | None:
    known = [each for each in case.school.surveys if each.declared_on <= case.day]
    return max(known, key=lambda each: each.declared_on, default=None)


def _surveyed(covers: Covers, survey: Survey | None) -> tuple[bool, tuple[Reason, ...]]:
    """Whether the survey has every asked place; a target that names no place asks for no survey."""
    if covers == UNNAMED:
        return True, ()
    if survey is None:
        return False, (Reason("no_survey"),)
    by_whom: dict[str, str | int | float] = {
        "declared_by": survey.declared_by,
        "declared_on": survey.declared_on.isoformat(),
    }
    missing = list(_missing(covers, survey))
    if missing:
        return False, (Reason("survey_lacks", {"places": ", ".join(missing), **by_whom}),)
    return True, (Reason("survey", by_whom),)


def _missing(covers: Covers, survey: Survey) -> Iterator[str]:
    wired, wireless = _with_inner(survey.wired), _with_inner(survey.wireless)
    yield from (f"wired {place}" for place in covers.wired if place not in wired)
    yield from (f"wireless {place}" for place in covers.wireless if place not in wireless)
    yield from (place for place in covers.either if place not in wired | wireless)


def _with_inner(places: tuple[Place, ...]) -> set[Place]:
    inner: set[Place] = {"teaching", "office"} if "indoors" in places else set()
    return {*places, *inner}


def _survey_evidence(survey: Survey, case: Case) -> Evidence:
    value = f"wired: {', '.join(survey.wired) or '-'}; wireless: {', '.join(survey.wireless) or '-'}"
    return Evidence(
        EvidenceKind.DECLARED,
        case.school.id,
        datetime.combine(survey.declared_on, time(), case.calendar.time_zone),
        judges=False,
        about="campus",
        observed=Declared("coverage_survey", value, survey.declared_by),
    )


def _all_of(answers: list[Answer]) -> Answer:
    if Answer.NOT_MET in answers:
        return Answer.NOT_MET
    return Answer.UNKNOWN if Answer.UNKNOWN in answers else Answer.MET


def _levels(seen: list[Evidence], case: Case) -> Span:
    levels = [(each, each.observed) for each in seen if isinstance(each.observed, Ipv6Level)]
    lowers = [Bound(level.at_least, each, True) for each, level in levels]
    uppers = [Bound(level.at_most, each, True) for each, level in levels]
    return span_of(lowers, uppers, timedelta(seconds=case.rules.same_age))
