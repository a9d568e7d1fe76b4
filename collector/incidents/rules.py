"""The rules of incidents: shipped ones, and a county's own laid over them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

import config
from collector.incidents.model import UNREACHED, Key, Kind, Severity
from config.calendar import Hours
from config.settings import SettingsError, convert, parse_yaml
from config.units import Seconds

SHIPPED = Path(config.__file__).parent / "incidents" / "default.yaml"
MAX_BYTES = 256 * 1024

Several = Annotated[int, msgspec.Meta(ge=2, le=100_000)]
Days = Annotated[float, msgspec.Meta(gt=0, le=3650)]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"holds_for": "for"}):
    """One kind's rule; what each key means stands at the head of ``config/incidents/default.yaml``."""

    holds_for: Seconds
    gather: Seconds
    clear: Seconds
    severity: Severity
    hours: Literal["always", "school"]
    whom: tuple[str, ...]
    escalate_after: Seconds
    repeat_every: Seconds
    escalate_to: tuple[str, ...] = ()
    enabled: bool = True


class TargetRule(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Below a target: of every target that judges, or of those alone whose last day has passed."""

    overdue_only: bool


class RogueRule(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rogue router: gone when it was not told of for so long (agents tell of it every hour)."""

    gone_after: Seconds


class LatencyRule(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Latency under load: what the load adds to the round trip, and below what it is over."""

    added: Seconds
    clears_below: Seconds


class ClockRule(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An agent's clock: off by more than this."""

    offset: Seconds


class CertificateRule(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A certificate: ends within so many days."""

    days: Days


class GroupRule(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Several at once: so many schools within so long."""

    schools: Several
    together: Seconds


class KindRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rule of every kind."""

    below_target: TargetRule
    line_down: Rule
    school_silent: Rule
    one_line_left: Rule
    ipv6_fell: Rule
    rogue_router: RogueRule
    latency_under_load: LatencyRule
    port_slower: Rule
    clock_off: ClockRule
    certificate_ends: CertificateRule
    data_gap: Rule
    carrier_down: GroupRule
    centre_down: GroupRule
    many_at_once: GroupRule

    def of(self, kind: Kind) -> Rule:
        """The rule of one kind."""
        rule: Rule = getattr(self, kind)
        return rule

    def of_key(self, key: Key) -> Rule:
        """The rule of one incident. Many at once are told no sooner and no less urgently than one of them."""
        rule = self.of(key.kind)
        if key.kind != "many_at_once":
            return rule
        name = key.subject.removeprefix("many/")
        kinds = UNREACHED if name == "unreached" else {kind for kind in get_args(Kind) if kind == name}
        gathered = [self.of(kind) for kind in kinds]
        return msgspec.structs.replace(
            rule,
            holds_for=max(each.holds_for for each in (rule, *gathered)),
            severity=max((each.severity for each in (rule, *gathered)), key=get_args(Severity).index),
        )


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file of rules. Hours are local ones of the calendar's time zone.

    In ``quiet_hours`` what is of ``quiet_severities`` waits until they end; ``digest_severities`` are told in
    the daily digest alone; on the calendar's exam days ``exam_severities`` wait.
    """

    quiet_hours: tuple[Hours, ...]
    quiet_severities: tuple[Severity, ...]
    digest_severities: tuple[Severity, ...]
    exam_severities: tuple[Severity, ...]
    flapping_slot: Seconds
    rules: KindRules


def load_rules(own: Path | None = None) -> Rules:
    """The shipped rules, with a county's own laid over them. Raises SettingsError, one line."""
    shipped = _parsed(SHIPPED)
    if own is None:
        return _checked(convert(shipped, Rules, str(SHIPPED)), SHIPPED)
    return _checked(convert(merged(shipped, _parsed(own)), Rules, str(own)), own)


def merged(shipped: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``own`` over ``shipped``, key by key however deep; anything but a mapping is replaced whole."""
    found = dict(shipped)
    for key, value in own.items():
        before = found.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        found[key] = merged(before, value) if both else value  # type: ignore[arg-type]
    return found


def _parsed(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SettingsError(f"{path}: is larger than the {MAX_BYTES} bytes allowed")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    found = parse_yaml(text, str(path))
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: key (the whole file): keys with values are allowed")
    return found


def _checked(rules: Rules, path: Path) -> Rules:
    if not 10 <= rules.flapping_slot <= 3600:
        raise SettingsError(f"{path}: key flapping_slot: 10s to 1h is allowed")
    for kind in KindRules.__struct_fields__:
        rule: Rule = getattr(rules.rules, kind)
        if rule.enabled and not rule.whom:
            raise SettingsError(f"{path}: key rules.{kind}.whom: at least one group is allowed")
        if rule.escalate_after and not rule.escalate_to:
            raise SettingsError(f"{path}: key rules.{kind}.escalate_to: is missing; escalate_after needs it")
    latency = rules.rules.latency_under_load
    if latency.clears_below > latency.added:
        raise SettingsError(f"{path}: key rules.latency_under_load.clears_below: at most added is allowed")
    return rules
