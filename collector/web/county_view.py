"""The county as its page shows it: what was chosen, counted, filtered, sorted and cut into pages. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from collector.verdicts.room import Judged
from collector.verdicts.totals import answers_of, totals_of
from collector.web.board import County, SchoolState
from collector.web.interval import Bar, Interval, bar_of, interval_of
from config.plan import RATE_KINDS, Plan, Target
from config.present import LOOKS, TITLES, age, reason_text
from config.school import classes_on, lines_on
from config.verdict import Answer
from config.words import Language, message, translate

WORST_FIRST = (Answer.NOT_MET, Answer.UNKNOWN, Answer.MET)
SORTS = ("verdict", "name", "measured", "classes", "availability", "ipv6", "incidents", "heard")
LONG_UNHEARD = 1e12

PRESENCE_WORDS = {
    "silent": message("silent"),
    "restarting": message("restarting"),
    "stopped": message("stopped as announced"),
    "expected_off": message("power is off at this hour"),
    "waiting": message("not heard yet"),
    "no_agent": message("no agent"),
}


class Reader(NamedTuple):
    """Who reads: in which language, when, and which day it is there."""

    language: Language
    now: datetime
    today: date


class Asked(msgspec.Struct, frozen=True):
    """What the reader asked of the county's page, checked: what is not known is as if it were not asked."""

    plan: str
    target: str
    answer: str = ""
    carrier: str = ""
    township: str = ""
    search: str = ""
    sort: str = "verdict"
    descending: bool = False
    page: int = 1


class Share(msgspec.Struct, frozen=True):
    """One target over the county: how many schools have which answer."""

    target: str
    title: str
    who: str
    deadline: date
    quote: str
    met: int
    not_met: int
    unknown: int

    @property
    def schools(self) -> int:
        """How many schools it is asked of."""
        return self.met + self.not_met + self.unknown


class Line(msgspec.Struct, frozen=True):
    """One school in the list."""

    id: str
    name: str
    township: str
    carriers: str
    verdict: str
    symbol: str
    word: str
    bar: Bar | None
    remark: str
    classes: str
    availability: str
    ipv6: str
    incidents: str
    heard: str
    is_heard: bool


class Listing(msgspec.Struct, frozen=True):
    """The schools that fit, cut into pages."""

    lines: tuple[Line, ...]
    found: int
    page: int
    pages: int


class Standing(msgspec.Struct, frozen=True):
    """A school and its verdict on the target chosen."""

    state: SchoolState
    judged: Judged
    interval: Interval


def asked_of(params: Mapping[str, str], plans: Mapping[str, Plan], county: County) -> Asked:
    """What the query asks; the plan's rate target that most schools are asked, where it names none."""
    plan_id = params.get("plan", "")
    plan = plans.get(plan_id) or next(iter(plans.values()), None)
    if plan is None:
        return Asked("", "")
    targets = [target.id for target in counted_targets(plan)]
    target = params.get("target", "")
    answers = {answer.value for answer in Answer}
    return Asked(
        plan=plan.id,
        target=target if target in targets else _main_target(plan, county),
        answer=_one_of(params.get("answer", ""), answers),
        carrier=params.get("carrier", ""),
        township=params.get("township", ""),
        search=params.get("q", "").strip()[:100],
        sort=_one_of(params.get("sort", ""), SORTS) or "verdict",
        descending=params.get("down", "") == "1",
        page=_number(params.get("page", "")),
    )


def counted_targets(plan: Plan) -> list[Target]:
    """The targets that count in totals."""
    return [target for target in plan.targets if not target.reported_only]


def target_title(target: Target, language: Language) -> str:
    """«Uplink port»."""
    return translate(TITLES[target.kind.value], language)


def shares(plan: Plan, county: County, language: Language) -> list[Share]:
    """Every target of a plan that counts, in the plan's order, with how its schools stand."""
    verdicts = (each.verdict for state in county.schools.values() for each in state.judged)
    return [
        Share(
            target=each.target.id,
            title=target_title(each.target, language),
            who=each.target.who,
            deadline=each.target.deadline,
            quote=each.target.quote,
            met=each.met,
            not_met=each.not_met,
            unknown=each.unknown,
        )
        for each in totals_of(plan, answers_of(plan, verdicts))
        if each.counts
    ]


def standings(county: County, plan: str, target: str) -> list[Standing]:
    """Every school that the target is asked of."""
    return [
        Standing(state, each, interval_of(each.verdict))
        for state in county.schools.values()
        for each in state.judged
        if each.verdict.plan == plan and each.verdict.target == target
    ]


def listing(found: Iterable[Standing], asked: Asked, rows: int, reader: Reader) -> Listing:
    """One page of the schools that fit."""
    fitting = [each for each in found if _fits(each, asked, reader.today)]
    fitting.sort(key=lambda each: (each.state.school.name, each.state.school.id))
    fitting.sort(key=_key(asked.sort, reader.today), reverse=asked.descending)
    pages = max(1, -(-len(fitting) // rows))
    page = min(asked.page, pages)
    shown = fitting[(page - 1) * rows : page * rows]
    return Listing(tuple(line_of(each, reader) for each in shown), len(fitting), page, pages)


def line_of(standing: Standing, reader: Reader) -> Line:
    """One school in words."""
    state, verdict = standing.state, standing.judged.verdict
    look = LOOKS[verdict.answer]
    bar = bar_of(standing.interval, reader.language)
    heard, is_heard = heard_text(state, reader.language, reader.now)
    classes = classes_on(state.school, reader.today)
    return Line(
        id=state.school.id,
        name=state.school.name or state.school.id,
        township=state.school.township,
        carriers=" · ".join(carriers_of(state, reader.today)),
        verdict=verdict.answer.value,
        symbol=look.symbol,
        word=translate(look.word, reader.language),
        bar=bar,
        remark="" if bar else _remark(standing, reader.language),
        classes="–" if classes is None else str(classes),
        availability=availability_text(state, reader.language),
        ipv6=level_text(state),
        incidents="–" if state.incidents is None else str(state.incidents),
        heard=heard,
        is_heard=is_heard,
    )


def carriers_of(state: SchoolState, today: date) -> list[str]:
    """The carriers of its lines, each once."""
    return list(dict.fromkeys(line.carrier for line in lines_on(state.school, today) if line.carrier))


def choices(county: County, today: date) -> tuple[list[str], list[str]]:
    """The carriers and the townships that there are, to choose from."""
    carriers = {name for state in county.schools.values() for name in carriers_of(state, today)}
    townships = {state.school.township for state in county.schools.values()} - {""}
    return sorted(carriers), sorted(townships)


def availability_text(state: SchoolState, language: Language) -> str:
    """«99.95 %»; nothing is claimed where less than 95 % of the time is known."""
    tally = state.availability
    if tally is None or tally.availability is None:
        return "–"
    if not tally.counts:
        return translate("too little known", language)
    return percent(tally.availability)


def percent(share: float) -> str:
    """Rounded down: 99.996 % is not 100 %."""
    return f"{int(share * 10_000) / 100:.2f} %"


def level_text(state: SchoolState) -> str:
    """«2» or «2–4» where some checks are not known."""
    if state.ipv6 is None:
        return "–"
    least, most = state.ipv6
    return str(least) if least == most else f"{least}–{most}"


def heard_text(state: SchoolState, language: Language, now: datetime) -> tuple[str, bool]:
    """When a school was heard, and whether it is heard now."""
    present = state.presence
    if present is None:
        return "–", False
    if present.state == "heard":
        seconds = (now - present.heard_at).total_seconds() if present.heard_at else 0.0
        return age(max(0.0, seconds), language), True
    word = translate(PRESENCE_WORDS[present.state], language)
    if present.heard_at is None:
        return word, False
    return f"{word} · {age((now - present.heard_at).total_seconds(), language)}", False


def _remark(standing: Standing, language: Language) -> str:
    reasons = standing.judged.verdict.reasons
    return reason_text(reasons[0], language) if reasons else ""


def _main_target(plan: Plan, county: County) -> str:
    asked = Counter(
        each.verdict.target
        for state in county.schools.values()
        for each in state.judged
        if each.verdict.plan == plan.id
    )
    targets = counted_targets(plan) or list(plan.targets)
    best = max(targets, key=lambda each: (each.kind in RATE_KINDS, asked[each.id], each.deadline))
    return best.id


def _fits(standing: Standing, asked: Asked, today: date) -> bool:
    state = standing.state
    return (
        asked.answer in ("", standing.judged.verdict.answer.value)
        and asked.township in ("", state.school.township)
        and (not asked.carrier or asked.carrier in carriers_of(state, today))
        and (not asked.search or _is_named(state, asked.search))
    )


def _is_named(state: SchoolState, search: str) -> bool:
    school, wanted = state.school, search.casefold()
    codes = [code.code for code in school.codes]
    return any(wanted in text.casefold() for text in (school.name, school.id, school.township, *codes))


def _key(sort: str, today: date) -> Callable[[Standing], Any]:
    keys: dict[str, Callable[[Standing], Any]] = {
        "verdict": lambda each: (WORST_FIRST.index(each.judged.verdict.answer), _share_known(each)),
        "name": lambda each: each.state.school.name or each.state.school.id,
        "measured": _share_known,
        "classes": lambda each: classes_on(each.state.school, today) or -1,
        "availability": _availability,
        "ipv6": lambda each: each.state.ipv6 or (-1, -1),
        "incidents": lambda each: -(each.state.incidents or 0),
        "heard": _unheard_seconds,
    }
    return keys[sort]


def _share_known(standing: Standing) -> float:
    interval = standing.interval
    known = interval.lower if interval.lower is not None else interval.upper
    return -1.0 if known is None or not interval.needed else known / interval.needed


def _availability(standing: Standing) -> float:
    tally = standing.state.availability
    return 2.0 if tally is None or tally.availability is None else tally.availability


def _unheard_seconds(standing: Standing) -> float:
    present = standing.state.presence
    seconds = present.silent_seconds if present is not None else None
    return -(LONG_UNHEARD if seconds is None else seconds)


def _one_of(text: str, allowed: Sequence[str] | set[str]) -> str:
    return text if text in allowed else ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and 0 < len(text) < 6 and int(text) else 1
