"""A county made up for the pages, in real rooms: verdicts, tests, outages, ports, changes."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collector.uptime.causes import Cause
from collector.uptime.history import Change, Correction, Outage
from collector.uptime.minutes import SCHOOL
from collector.uptime.records import Records
from config.clock import SystemClock
from config.points import FieldValue, Point
from config.school import Campus, Device, Line, School
from tests.collector.web.rooms import PagesOnly, heartbeat_of

NS = 10**9
TOWNSHIPS = ("清泉镇", "位奇镇", "霍城镇", "李桥乡", "老军乡", "大马营镇")
CARRIERS = ("电信", "移动", "联通")
NAMES = ("中心小学", "初级中学", "幼儿园", "九年一贯制学校", "第二小学")
CENTRE = (101.09, 38.78)
KINDS = ("met", "not_met", "unknown", "silent", "met", "met")
"""What becomes of one school after the other."""


def outline(folder: Path) -> Path:
    """A county that nobody has, as GeoJSON: two townships."""

    def ring(east: float, north: float, radius: float) -> list[list[float]]:
        corners = [math.tau * n / 40 for n in range(40)] + [0.0]
        return [
            [east + radius * math.cos(a) * (1 + 0.15 * math.sin(5 * a)), north + radius * 0.7 * math.sin(a)]
            for a in corners
        ]

    features = [
        {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": {"type": "Polygon", "coordinates": [ring(CENTRE[0] + east, CENTRE[1] + north, 0.3)]},
        }
        for name, east, north in (("东乡", 0.18, 0.02), ("西乡", -0.2, -0.03))
    ]
    file = folder / "county.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return file


def schools(count: int, payload: str = "") -> Iterator[School]:
    """So many; ``payload`` goes into every text that a school has. Each eleventh lies nobody knows where."""
    chance = random.Random(7)
    for number in range(count):
        township, east, north = TOWNSHIPS[number % 6], chance.gauss(0, 0.2), chance.gauss(0, 0.1)
        placed = number % 11 != 10
        yield School(
            id=f"s{number}",
            name=f"{township[:-1]}{NAMES[number % 5]}{payload}",
            classes=6 + number % 5 * 6,
            township=township + payload,
            longitude=CENTRE[0] + east if placed else None,
            latitude=CENTRE[1] + north if placed else None,
            area="urban" if number % 4 == 0 else "rural",
            lines=(Line(id="line1", carrier=CARRIERS[number % 3] + payload),),
            campuses=(Campus(id="c1", name=payload or "本部"),),
            devices=(Device(id="core", trunk_ports=("Gi0/1",)),),
        )


def fill(rooms: PagesOnly, count: int, payload: str = "") -> None:
    """Declare the schools and let everything happen that the pages show."""
    wanted = list(schools(count, payload))
    rooms.registry.put_schools(wanted)
    for number, school in enumerate(wanted):
        rooms.registry.add_agent(school.id)
        kind = KINDS[number % len(KINDS)]
        rooms.take(_told(school, kind, payload, before=True), school.id)
    rooms.verdicts.tick()
    for number, school in enumerate(wanted):
        kind = KINDS[number % len(KINDS)]
        rooms.take(_told(school, kind, payload, before=False), school.id)
        if kind != "silent":
            heartbeat_of(rooms, school.id)
    rooms.verdicts.tick()
    _availability(rooms, wanted, payload)


def _told(school: School, kind: str, payload: str, *, before: bool) -> list[Point]:
    """What its agent said, two hours ago and just now. The last quarter of those met were unknown before."""
    now_ns = SystemClock().wall_ns() - (7200 if before else 20) * NS
    needed = (school.classes or 0) * 10e6
    share = {"met": 1.1, "not_met": 0.3, "unknown": 0.45, "silent": 0.2}[kind]
    if before and kind == "met" and int(school.id[1:]) % 4 == 3:
        share = 0.5
    line = {"interface": f"eth0{payload}", "role": "line", "line": "line1"}
    port: dict[str, FieldValue] = {
        "port_bits_per_second": round(needed * 0.5) if kind == "not_met" else 10**9
    }
    points = [
        Point(
            "interface", line, {**_rates(needed * share * (0.8 + n % 5 / 20)), **port}, now_ns - n * 10 * NS
        )
        for n in range(2 if before else 12)
    ]
    if before:
        return points
    return [*points, *_beside(school, payload, needed * share, now_ns)]


def _beside(school: School, payload: str, rate: float, now_ns: int) -> Iterator[Point]:
    yield Point("probe", {"probe": f"ping{payload}"}, {"success": True, "unknown": payload}, now_ns)
    trunk = {"interface": "Gi0/1" + payload, "role": "trunk", "device": "core"}
    yield Point(
        "interface", trunk, {"port_bits_per_second": 10**9, "operational": True, "port_type": "fibre"}, now_ns
    )
    yield Point("access_points", {"device": "ac1"}, {"online": 11, "installed": 12, "stations": 140}, now_ns)
    for number in range(3):
        tags = {"line": "line1", "responder": "county", "direction": ("down", "up")[number % 2],
                "family": "ipv4", "mode": ("search", "verify")[number // 2], "method": "tcp"}  # fmt: skip
        fields: dict[str, FieldValue] = {
            "ip_bits_per_second": round(rate), "bound": "lower", "stop_reason": "converged",
            "limited_by": "host_cpu", "counts_for_line": False, "idle_rtt_seconds": 0.012,
            "loaded_rtt_seconds": 0.081, "latency_grade": "C", "bytes": 10**8, "note": payload,
        }  # fmt: skip
        yield Point("capacity", tags, fields, now_ns - number * 3600 * NS)
    for check in range(1, 16):
        found: dict[str, FieldValue] = {
            "result": ("pass", "fail", "unknown")[check % 3],
            "code": "not_checked",
        }
        yield Point(
            "ipv6_check", {"check": str(check), "place": "gateway"}, {**found, "values": "{}"}, now_ns
        )


def _rates(rate: float) -> dict[str, FieldValue]:
    return {
        "window_seconds": 10.0, "samples": 10, "refresh_seconds": 1.0,
        "rx_bits_per_second_sum": rate * 10, "tx_bits_per_second_sum": rate * 2,
        "rx_bits_per_second_max": rate * 1.2, "tx_bits_per_second_max": rate / 4,
        "rx_peak_bits_per_second": round(rate), "tx_peak_bits_per_second": round(rate / 5),
        "peak_seconds": 10.0, "operational": True,
    }  # fmt: skip


def _availability(rooms: PagesOnly, wanted: list[School], payload: str) -> None:
    records, chance = Records(rooms.registry), random.Random(11)
    now = datetime.now(UTC)
    today = int(now.timestamp() // 86400)
    for school in wanted:
        days = {}
        for day in range(today - 40, today + 1):
            codes = bytearray(b"u" * 1440)
            if chance.random() < 0.15:
                start = chance.randrange(1300)
                codes[start : start + 30] = b"x" * 30
            days[school.id, SCHOOL, day] = bytes(codes)
        records.put_days(days)
    for number, school in enumerate(wanted[:20]):
        began = now - timedelta(hours=6 + number)
        until = began + timedelta(minutes=35)
        outage = Outage(
            school.id, "", began, until, until, "down",
            (Cause.LINE, Cause.POWER, Cause.CARRIER)[number % 3],
            "the gateway's port to the line was down" + payload, live=True, recorded_at=now,
        )  # fmt: skip
        corrections = (Correction(now, "found", "unknown", "down", "the agent's record arrived later"),)
        records.write([Change(outage, corrections if number % 2 else ())])
