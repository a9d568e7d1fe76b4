"""A registry with a few schools, incidents of every kind, and a clock that the test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from collector.incidents.model import Change, EvidenceReference, Facts, Incident, Quantity
from collector.messages.settings import MessageSettings
from collector.registry import Registry
from config.school import Contract, Line, School
from config.settings import convert
from config.units import BitsPerSecond

CHINA = timezone(timedelta(hours=8))
BEGAN = datetime(2026, 11, 22, 6, 3, tzinfo=UTC)
AT = BEGAN + timedelta(minutes=4)
CONTRACT = Contract("CT-2026-0815", "", BitsPerSecond(200_000_000), BitsPerSecond(100_000_000))
SCHOOLS = [
    School(
        "s1", "第一小学", township="三闸镇", classes=12,
        lines=(
            Line("wan", carrier="电信", contracts=(CONTRACT,)),
            Line("edu", carrier="教育网", kind="education"),
        ),
    ),
    School("s2", "第二小学", township="大满镇", lines=(Line("wan", carrier="移动"),)),
    School("s3", "@all <b>第三</b>\n小学"),
    *(School(f"t{n}", f"教学点{n}") for n in range(1, 9)),
]  # fmt: skip


class MovedClock:
    """Both clocks, moved by the test."""

    def __init__(self, at: datetime = AT) -> None:
        self.seconds = at.timestamp()

    def wall_ns(self) -> int:
        return round(self.seconds * 1e9)

    def monotonic_ns(self) -> int:
        return round(self.seconds * 1e9)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


def opened_registry(folder: Path) -> Registry:
    registry = Registry.open(f"sqlite:///{folder / 'registry.db'}", 0.0)
    registry.put_schools(SCHOOLS)
    return registry


def message_settings(**values: Any) -> MessageSettings:
    return convert(values, MessageSettings, "test")


def incident(identity: int = 42, kind: Any = "line_down", **values: Any) -> Incident:
    made: dict[str, Any] = {
        "school_id": "s1", "subject": "line/wan", "severity": "critical", "state": "open",
        "started_at": BEGAN, "noticed_at": AT, "number": 2, "opened_at": AT,
        "facts": Facts(cause="carrier", look_at="line_and_modem"),
    }  # fmt: skip
    return Incident(id=identity, kind=kind, **{**made, **values})


def change(what: Any = "opened", of: Incident | None = None, **values: Any) -> Change:
    return Change(of or incident(), what, **{"at": AT, "whom": ("duty",), **values})


def _seen(source: Any, **values: Any) -> EvidenceReference:
    return EvidenceReference(source, AT - timedelta(minutes=1), **values)


VERIFIED = _seen("verdict", measurement="verify_failed", tags={"line": "wan"}, number=3)
PLAN_TITLE = "某县教育事业发展“十四五”规划"
EVERY_KIND: list[Incident] = [
    incident(1, "below_target", subject="target/minimum/egress_per_class", severity="warning", facts=Facts(
        Quantity(61_200_000, "bit/s"), Quantity(200_000_000, "bit/s"), VERIFIED,
        "capacity", "capacity_test", "minimum", "egress", "「每班出口带宽不低于 10M」", {
            "target_kind": "egress_per_class", "deadline": "2025-12-31", "plan_title": PLAN_TITLE}),
    ),
    incident(2, "line_down", facts=Facts(
        evidence=_seen("outage", measurement="ping", number=17), cause="line", look_at="line_and_modem",
        values={"line": "wan", "lines_up": "edu"})),
    incident(3, "school_silent", subject="school", facts=Facts(
        evidence=_seen("presence"), cause="unknown", look_at="power_and_gateway",
        values={"gateway_answers": 0})),
    incident(4, "one_line_left", subject="school", severity="warning", facts=Facts(
        evidence=_seen("outage", measurement="ping", number=18), cause="line", look_at="other_line",
        values={"line": "wan", "lines_left": "edu"})),
    incident(5, "ipv6_fell", subject="school", severity="warning", facts=Facts(
        Quantity(1, "level"), Quantity(3, "level"), _seen("point", measurement="ipv6_readiness"),
        "configuration", "ipv6_checks", values={"failed": "4,6"})),
    incident(6, "rogue_router", subject="router/02:00:00:00:00:66", facts=Facts(
        evidence=_seen("point", measurement="router_advertisement", tags={"interface": "br-lan"}),
        cause="device", look_at="rogue_device",
        values={"mac": "02:00:00:00:00:66", "prefix": "2001:db8:bad::/64", "interface": "br-lan"})),
    incident(7, "latency_under_load", subject="line/wan/up", severity="info", facts=Facts(
        Quantity(0.412, "s"), Quantity(0.2, "s"),
        _seen("point", measurement="capacity", tags={"line": "wan"}),
        "configuration", "queue_of_gateway", values={"line": "wan", "direction": "up"})),
    incident(8, "port_slower", subject="port/eth0", severity="warning", facts=Facts(
        Quantity(100_000_000, "bit/s"), Quantity(1_000_000_000, "bit/s"),
        _seen("point", measurement="interface", tags={"line": "wan"}),
        "port", "cable_and_port", values={"interface": "eth0", "line": "wan"})),
    incident(9, "clock_off", subject="agent/s1-1", severity="info", facts=Facts(
        Quantity(43.5, "s"), Quantity(10, "s"), _seen("presence"), cause="clock", look_at="time_service",
        values={"agent": "s1-1"})),
    incident(10, "certificate_ends", subject="service/www.s1.example", severity="warning", facts=Facts(
        Quantity(9, "d"), Quantity(14, "d"), _seen("point", measurement="service"),
        "certificate", "certificate", values={"service": "www.s1.example"})),
    incident(11, "data_gap", subject="school", severity="warning", facts=Facts(
        evidence=_seen("point"), cause="agent", look_at="agent_spool"), flapping=True),
    incident(12, "carrier_down", school_id="", subject="carrier/电信",
        schools=("s1", "s2", "s3", *(f"t{n}" for n in range(1, 9))), facts=Facts(
        Quantity(11, "schools"), evidence=_seen("children", number=11), cause="carrier",
        look_at="carrier_hotline", values={"carrier": "电信"}), carrier_ticket="10000-20261122-0071"),
    incident(13, "centre_down", school_id="", subject="centre",
        schools=("s1", "s2", "s3"), facts=Facts(
        Quantity(3, "schools"), evidence=_seen("children", number=3), cause="centre",
        look_at="centre_network")),
    incident(14, "many_at_once", school_id="", subject="many/unreached",
        schools=("s1", "s2"), facts=Facts(
        Quantity(2, "schools"), evidence=_seen("children", number=2), cause="unknown",
        look_at="what_is_common", values={"kind": "unreached"})),
]  # fmt: skip
"""With the facts that each kind's condition gives."""
