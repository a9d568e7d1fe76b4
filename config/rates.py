"""Targets that ask for a rate: egress, backbone, ports."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from config.bounds import NOTHING_KNOWN, Span, best, total, worst
from config.case import Case, Flow
from config.evidence import Evidence
from config.plan import Target
from config.school import Line, classes_on
from config.verdict import Answer, Finding, Reason, Settles

VERIFY_SECONDS = 3
SEARCH_SECONDS = 10
PORTS_SHOWN = 10


def egress_per_class(target: Target, case: Case) -> Finding:
    """All lines of the school together, against the rate times the number of classes.

    Judged on ``down`` unless the target says otherwise: what lessons take from a school's exit is download,
    by far, and the plans say 出口带宽, the figure that carriers sell by its down side. Up is shown beside.
    """
    classes = classes_on(case.school, case.day)
    rate = target.rate or 0
    if not classes:
        reasons = (Reason("classes_unknown", {"rate": rate}),)
        shown = _beside(case, case.lines, target.direction)
        return Finding(Answer.UNKNOWN, reasons, (), shown, Settles("declare_classes"))
    finding = _of_lines(rate * classes, case.lines, target.direction, case, total)
    return _with_reasons(finding, Reason("classes", {"classes": classes, "rate": rate}))


def county_backbone(target: Target, case: Case) -> Finding:
    """All lines of the district's own site together, against the rate."""
    return _of_lines(target.rate or 0, case.lines, target.direction, case, total)


def uplink_port(target: Target, case: Case) -> Finding:
    """The best port among the lines that the target speaks of: what it negotiated, not what it delivers."""
    lines = _lines_for(target, case)
    needed = target.rate or 0
    if not lines:
        return _no_line(needed)
    span = best([case.access(line) for line in lines])
    settles = Settles("read_port_speed", lines[0].id)
    return _against(needed, span, case, settles, tuple(item for _, item in case.contracts(lines, "down")))


def delivery(target: Target, case: Case) -> Finding:
    """What the best of those lines delivers: the row beside an access target."""
    return _of_lines(target.rate or 0, _lines_for(target, case), target.direction, case, best)


def campus_backbone(target: Target, case: Case) -> Finding:
    """Every declared trunk port."""
    trunks = [f"{device.id}/{port}" for device in case.school.devices for port in device.trunk_ports]
    if not trunks:
        settles = Settles("declare_trunk_ports")
        return Finding(
            Answer.UNKNOWN, (Reason("no_trunk_port_declared"),), settles=settles, needed=target.rate
        )
    seen = case.ports("trunk_port")
    return _of_ports(target, case, [seen.get(trunk, NOTHING_KNOWN) for trunk in trunks])


def terminal_speed(target: Target, case: Case) -> Finding:
    """Every access port in use; a switch of which no port was seen leaves it open. What browsers got is
    shown beside: a sample of terminals is not every terminal, and a slow one may be slow by itself.
    """
    return _with_terminals(_terminal_ports(target, case), target, case)


def _terminal_ports(target: Target, case: Case) -> Finding:
    switches = [
        device.id for device in case.school.devices if device.kind == "switch" and device.serves_terminals
    ]
    seen = case.ports("access_port")
    if not switches and not seen:
        settles = Settles("declare_switches")
        return Finding(Answer.UNKNOWN, (Reason("no_switch_declared"),), settles=settles, needed=target.rate)
    heard = {subject.partition("/")[0] for subject in seen}
    unheard = [NOTHING_KNOWN for switch in switches if switch not in heard]
    return _of_ports(target, case, [*seen.values(), *unheard])


def _with_terminals(finding: Finding, target: Target, case: Case) -> Finding:
    tests = case.terminals(target.direction)
    if not tests:
        return finding
    threshold = threshold_of(target.rate or 0, case)
    reached = sum((each.lower_bits_per_second or 0) >= threshold for each in tests)
    why = Reason("terminals_tested", {"tests": len(tests), "reached": reached, "threshold": threshold})
    beside = (*finding.beside, *tests)
    return Finding(
        finding.answer, (*finding.reasons, why), finding.evidence, beside, finding.settles, finding.needed
    )


def _of_ports(target: Target, case: Case, spans: Sequence[Span]) -> Finding:
    finding = _against(target.rate or 0, worst(spans), case, Settles("poll_switches"), ())
    unseen = sum(span.lower is None for span in spans)
    if unseen:
        finding = _with_reasons(finding, Reason("ports_unseen", {"ports": unseen}))
    slowest_first = sorted(finding.evidence, key=lambda each: each.upper_bits_per_second or 0)
    return _with_evidence(finding, tuple(slowest_first[:PORTS_SHOWN]))


def _of_lines(
    needed: int, lines: Sequence[Line], flow: Flow, case: Case, join: Callable[[Sequence[Span]], Span]
) -> Finding:
    if not lines:
        return _no_line(needed)
    spans = [case.capacity(line, flow) for line in lines]
    threshold = threshold_of(needed, case)
    settles = _cheapest_test(needed, threshold, lines, spans, flow, adds=join is total)
    finding = _against(needed, join(spans), case, settles, _beside(case, lines, flow))
    return _with_reasons(finding, *_findings(needed, lines, flow, case))


def threshold_of(needed: int, case: Case) -> int:
    """The rate from which a nominal one counts as reached, bit/s at the IP layer."""
    return round(needed * case.rules.met_share)


def _against(needed: int, span: Span, case: Case, settles: Settles, beside: tuple[Evidence, ...]) -> Finding:
    """The one comparison: lower end at the threshold or above is met, upper end below it is not met."""
    threshold = threshold_of(needed, case)
    percent = round(case.rules.met_share * 100, 2)
    tolerance = Reason("tolerance", {"needed": needed, "percent": percent, "threshold": threshold})
    if span.lower is not None and span.lower >= threshold:
        why = Reason("reaches", {"lower": span.lower, "threshold": threshold})
        return Finding(
            Answer.MET,
            (why, tolerance),
            span.lower_by,
            (*_only(span.upper_by, span.lower_by), *beside),
            None,
            needed,
        )
    if span.upper is not None and span.upper < threshold:
        why = Reason("falls_short", {"upper": span.upper, "threshold": threshold})
        return Finding(
            Answer.NOT_MET,
            (why, tolerance),
            span.upper_by,
            (*_only(span.lower_by, span.upper_by), *beside),
            None,
            needed,
        )
    evidence = (*span.disputed, *span.lower_by, *_only(span.upper_by, span.lower_by))
    return Finding(
        Answer.UNKNOWN, (_why_unknown(span, threshold), tolerance), evidence, beside, settles, needed
    )


def _why_unknown(span: Span, threshold: int) -> Reason:
    if span.disputed:
        bounds = [(each.lower_bits_per_second, each.upper_bits_per_second) for each in span.disputed]
        values: dict[str, str | int | float] = {
            "lower": max((lower for lower, _ in bounds if lower is not None), default=0),
            "upper": min((upper for _, upper in bounds if upper is not None), default=0),
        }
        return Reason("contradiction", values)
    ends = {"lower": span.lower, "upper": span.upper}
    known: dict[str, str | int | float] = {end: value for end, value in ends.items() if value is not None}
    return Reason("between", {**known, "threshold": threshold}) if known else Reason("no_evidence")


def _cheapest_test(
    needed: int, threshold: int, lines: Sequence[Line], spans: Sequence[Span], flow: Flow, *, adds: bool
) -> Settles:
    """A verify run of one line at what the others leave open, where its port could carry that; the least one.
    Where no single line can settle it: a search of the line of which least is known.
    """
    known = sum(span.lower or 0 for span in spans) if adds else 0
    tests = []
    for line, span in zip(lines, spans, strict=True):
        missing = threshold - known + ((span.lower or 0) if adds else 0)
        if span.upper is None or missing <= span.upper:
            tests.append((missing, line.id))
    if tests:
        rate, line_id = min(tests)
        nominal = needed * rate // threshold
        return Settles("verify", line_id, flow, rate, -(-nominal * VERIFY_SECONDS // 8))
    line, span = max(zip(lines, spans, strict=True), key=lambda pair: _openness(pair[1], threshold))
    return Settles("search", line.id, flow, None, (span.upper or threshold) * SEARCH_SECONDS // 8)


def _openness(span: Span, threshold: int) -> int:
    return (threshold if span.upper is None else span.upper) - (span.lower or 0)


def _findings(needed: int, lines: Sequence[Line], flow: Flow, case: Case) -> list[Reason]:
    """What is worth knowing and no verdict."""
    found = []
    contracted = [rate for rate, _ in case.contracts(lines, flow)]
    if len(contracted) == len(lines) and sum(contracted) < needed:
        found.append(Reason("contract_below_target", {"contracted": sum(contracted), "needed": needed}))
    left_over = [case.left_over(line, flow) for line in lines]
    found += [
        Reason("verify_failed_once", {"line": each.failed_once.subject})
        for each in left_over
        if each.failed_once
    ]
    expired = sum(len(each.expired) for each in left_over)
    found += [Reason("expired", {"items": expired})] if expired else []
    if case.school.egress == "shared_exit":
        found.append(Reason("shared_exit"))
    return found


def _beside(case: Case, lines: Sequence[Line], flow: Flow) -> tuple[Evidence, ...]:
    """The other direction, single failures, what is too old, what never judges, what is declared."""
    other: Flow = "up" if flow == "down" else "down"
    back = [each for line in lines for each in case.capacity(line, other).lower_by]
    left_over = [case.left_over(line, flow) for line in lines]
    alone = [each.failed_once for each in left_over if each.failed_once]
    old = [item for each in left_over for item in each.expired]
    declared = [item for _, item in case.contracts(lines, flow)]
    return (*back, *alone, *old, *case.shown, *declared)


def _only(some: tuple[Evidence, ...], others: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    """Those of ``some`` that are not among the others."""
    return tuple(each for each in some if not any(each is other for other in others))


def _lines_for(target: Target, case: Case) -> list[Line]:
    return [line for line in case.lines if target.line_kind in (None, line.kind)]


def _no_line(needed: int) -> Finding:
    return Finding(
        Answer.UNKNOWN, (Reason("no_line_declared"),), settles=Settles("declare_lines"), needed=needed
    )


def _with_reasons(finding: Finding, *more: Reason) -> Finding:
    return _changed(finding, (*finding.reasons, *more), finding.evidence) if more else finding


def _with_evidence(finding: Finding, evidence: tuple[Evidence, ...]) -> Finding:
    return _changed(finding, finding.reasons, evidence)


def _changed(finding: Finding, reasons: tuple[Reason, ...], evidence: tuple[Evidence, ...]) -> Finding:
    return Finding(finding.answer, reasons, evidence, finding.beside, finding.settles, finding.needed)
