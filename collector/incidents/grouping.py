"""What is one trouble though many feel it: the centre's own, a carrier's, or many of a kind at once. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

import msgspec

from collector.incidents.model import UNREACHED, EvidenceReference, Facts, Key, Quantity
from collector.incidents.rules import GroupRule, KindRules
from collector.incidents.seen import Seen

MOST_CARRIERS = 3
"""More carriers than that in trouble at once are no trouble of carriers: they are told of together."""
CENTRE = Key("centre_down", "", "centre")


class Group(msgspec.Struct, frozen=True):
    """A parent as it is seen now, and the conditions that it is told for."""

    seen: Seen
    members: tuple[Key, ...]
    schools: tuple[str, ...]


def carrier_key(carrier: str) -> Key:
    """The key of a carrier's incident."""
    return Key("carrier_down", "", f"carrier/{carrier}")


def many_key(kind: str) -> Key:
    """The key of many incidents of one kind at once."""
    return Key("many_at_once", "", f"many/{kind}")


def groups(
    seen: Iterable[Seen], standing: frozenset[Key], rules: KindRules, *, nobody_heard: bool
) -> list[Group]:
    """The groups that hold now.

    ``standing``: parents that people were told of and that are not over; each keeps those that its cause may
    explain, until fewer than the rule's number are left, and takes its own before any new one.
    ``nobody_heard``: the collector hears no school at all.
    """
    holding = {each.key: each for each in seen if each.holds}
    left = {key: each for key, each in holding.items() if key.school_id and each.within not in holding}
    found: list[Group] = []
    while group := _first(left, standing, rules, nobody_heard):
        found.append(group)
        for key in group.members:
            del left[key]
    return found


def _first(
    left: Mapping[Key, Seen], standing: frozenset[Key], rules: KindRules, nobody_heard: bool
) -> Group | None:
    candidates = [
        *_centre(list(left.values()), standing, rules.centre_down, nobody_heard),
        *_carriers(left, standing, rules),
        *_many(left, standing, rules.many_at_once),
    ]
    candidates.sort(key=lambda group: group.seen.key not in standing)
    return next(iter(candidates), None)


def _centre(
    holding: Sequence[Seen], standing: frozenset[Key], rule: GroupRule, nobody_heard: bool
) -> list[Group]:
    """Schools of several carriers at once, and nobody is heard; or outages that the uptime room says are the
    centre's."""
    if not rule.enabled:
        return []
    unreached = [each for each in holding if each.key.kind in UNREACHED]
    mine = unreached if nobody_heard else [each for each in unreached if each.centre]
    together = mine if CENTRE in standing else _at_once(mine, rule)
    schools = {each.key.school_id for each in together}
    carriers = {carrier for each in together for carrier in each.carriers}
    several = len(carriers) != 1 or CENTRE in standing or any(each.centre for each in together)
    if len(schools) < rule.schools or not several:
        return []
    return [_group(CENTRE, mine, Facts(cause="centre", look_at="centre_network"))]


def _carriers(left: Mapping[Key, Seen], standing: frozenset[Key], rules: KindRules) -> list[Group]:
    """Carriers that several schools lost at once; the one with the most schools takes its own first."""
    rule = rules.carrier_down
    if not rule.enabled:
        return []
    by_carrier: dict[str, list[Seen]] = defaultdict(list)
    for each in left.values():
        if each.key.kind in UNREACHED:
            for carrier in each.carriers:
                by_carrier[carrier].append(each)
    hit = [
        _group(carrier_key(carrier), members, Facts(cause="carrier", look_at="carrier_hotline",
                                                    values={"carrier": carrier}))
        for carrier, members in by_carrier.items()
        if _hit(members, carrier_key(carrier) in standing, rule)
    ]  # fmt: skip
    new = [group for group in hit if group.seen.key not in standing]
    if len(new) > MOST_CARRIERS and rules.many_at_once.enabled:
        members = [left[key] for group in new for key in group.members]
        hit = [group for group in hit if group not in new]
        hit.append(_group(many_key("unreached"), members, Facts(look_at="what_is_common")))
    return sorted(
        hit, key=lambda group: (group.seen.key not in standing, -len(group.schools), group.seen.key)
    )


def _hit(members: Sequence[Seen], stands: bool, rule: GroupRule) -> bool:
    counted = members if stands else _at_once(members, rule)
    return len({each.key.school_id for each in counted}) >= rule.schools


def _many(left: Mapping[Key, Seen], standing: frozenset[Key], rule: GroupRule) -> list[Group]:
    """Many schools with one kind of trouble at once, whatever the cause."""
    if not rule.enabled:
        return []
    by_kind: dict[str, list[Seen]] = defaultdict(list)
    for each in left.values():
        by_kind["unreached" if each.key.kind in UNREACHED else each.key.kind].append(each)
    found = []
    for kind, members in sorted(by_kind.items()):
        key = many_key(kind)
        counted = members if key in standing else _at_once(members, rule)
        if len({each.key.school_id for each in counted}) >= rule.schools:
            cause = Counter(each.facts.cause for each in members).most_common(1)[0][0]
            found.append(_group(key, members, Facts(cause=cause, values={"kind": kind})))
    return found


def _at_once(members: Sequence[Seen], rule: GroupRule) -> Sequence[Seen]:
    """The most that began within the rule's span of each other."""
    ordered = sorted(members, key=lambda each: each.since)
    span = timedelta(seconds=rule.together)
    best: Sequence[Seen] = ()
    first = 0
    for last, each in enumerate(ordered):
        while each.since - ordered[first].since > span:
            first += 1
        if last + 1 - first > len(best):
            best = ordered[first : last + 1]
    return best


def _group(key: Key, members: Sequence[Seen], facts: Facts) -> Group:
    schools = tuple(sorted({each.key.school_id for each in members}))
    since = min(each.since for each in members)
    told = msgspec.structs.replace(
        facts,
        measured=Quantity(len(schools), "schools"),
        evidence=EvidenceReference("children", since, number=len(members)),
    )
    return Group(Seen(key, True, since, told), tuple(each.key for each in members), schools)
