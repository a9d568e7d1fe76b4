"""The county's table of IPv6 checks, over HTTP too: what fails most first, silence is unknown, hostile points
are data.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from collector.store.interface import Latest
from collector.web.readiness import KnownLevels, check_rows, findings_of, levels, school_json, school_row
from collector.web.readiness_routes import readiness_routes
from config.points import FieldValue, Point
from config.readiness import Finding, Levels, Result, failed, passed
from config.readiness_words import finding_fields
from tests.collector.web.rooms import SCRIPT, open_pages
from tests.collector.web.serving import serving

NOW = datetime(2026, 11, 18, 4, 0, tzinfo=UTC)


def told(check: str, result: str, place: str = "gateway", days: float = 0, **more: FieldValue) -> Latest:
    at = round((NOW.timestamp() - days * 86400) * 1e9)
    fields: dict[str, FieldValue] = {"result": result, "code": "not_checked", **more}
    return Latest("s", "ipv6_check", {"check": check, "place": place}, at, fields)


def test_two_agents_of_a_school_are_one_row() -> None:
    points = [told("1", "pass"), told("2", "pass"), told("6", "unknown"), told("6", "pass", "lan"),
              told("4", "pass"), told("4", "fail", "lan")]  # fmt: skip
    found = findings_of(points, NOW)
    assert levels(found) == Levels(1, 1)
    assert (found[4].result, found[6].result, found[6].because) == (Result.FAIL, Result.UNKNOWN, 4)
    assert school_json(found)["level_at_most"] == 1


def test_what_nobody_repeats_is_not_known() -> None:
    assert findings_of([told("1", "pass", days=4)], NOW)[1].result is Result.UNKNOWN
    assert findings_of([], NOW)[1].result is Result.UNKNOWN


def test_levels_of_a_county_are_found_again_where_something_was_told_or_grew_old() -> None:
    known = KnownLevels()
    passes = [told(str(number), "pass") for number in range(1, 16)]
    others = [msgspec.structs.replace(point, school_id="other") for point in passes]
    both = {"s": Levels(4, 4), "other": Levels(4, 4)}
    assert known.of([*passes, *others], NOW) == both
    assert known.of([told("1", "fail"), *passes[1:], *others], NOW) == {**both, "s": Levels(0, 0)}
    assert known.of([*passes, *others], NOW + timedelta(days=4)) == dict.fromkeys(both, Levels(0, 4))
    assert known.of(others, NOW) == {"other": Levels(4, 4)}


def test_what_fails_most_comes_first() -> None:
    schools = [
        findings_of([told("9", "fail"), told("1", "pass")], NOW),
        findings_of([told("9", "fail")], NOW),
    ]
    rows = check_rows(schools, "zh_CN")
    assert (rows[0].check, rows[0].failed, rows[0].title) == (9, 2, "路径 MTU")
    assert all(row.passed + row.failed + row.unknown == 2 for row in rows)


def test_hostile_points_are_data() -> None:
    hostile = [told("²", "pass"), told("99", "pass"), told("", "pass"), told("3", "<script>", values="[")]
    row = school_row("s", "", findings_of(hostile, NOW), "en")
    assert (row.name, row.at_least, row.at_most) == ("s", 0, 4)
    assert {cell.result for cell in row.cells} == {"unknown"}


def point(finding: Finding) -> Point:
    now_ns = int(datetime.now(UTC).timestamp()) * 10**9
    tags = {"check": str(finding.check), "place": "gateway"}
    return Point("ipv6_check", tags, finding_fields(finding), now_ns)


def test_the_page_and_its_data_over_http(tmp_path: Path) -> None:
    rooms = open_pages(tmp_path)
    rogue = failed(
        12, "rogue", mac="02:00:00:00:0b:ad", router="fe80::1", interface=SCRIPT, prefix="2001:db8::"
    )
    rooms.take([point(passed(1, "wan_address", address="2001:db8::1", interface="wan0")), point(rogue)])
    with serving(readiness_routes(rooms)) as client:
        chinese, english = client.get("/ipv6"), client.get("/ipv6?lang=en")
        told = client.get("/api/v1/ipv6").json()
    rooms.close()
    assert (chinese.status_code, english.status_code) == (200, 200)
    assert "样例小学" in chinese.text
    assert "02:00:00:00:0b:ad" in chinese.text
    assert "02:00:00:00:0b:ad (fe80::1)" in english.text
    assert SCRIPT not in english.text
    assert "default-src" in str(english.headers["content-security-policy"])
    school = told["schools"]["sample"]
    assert (school["level_at_least"], school["level_at_most"]) == (0, 3)
    assert told["checks"][0] == {
        "check": 12, "title": "Rogue router advertisements", "standard": "RFC 6104, RFC 6105",
        "pass": 0, "fail": 1, "unknown": 0,
    }  # fmt: skip
    assert school["checks"][11]["values"]["mac"] == "02:00:00:00:0b:ad"
