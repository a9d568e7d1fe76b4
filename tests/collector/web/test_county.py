"""The county's page, the wall and the staff's pages: what is counted, found, sorted, drawn, and for whom."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.access import Role
from collector.access.who import Via, somebody
from collector.enrolment.agent_pages import agent_page_routes
from collector.incidents.model import Incident
from collector.settings import CollectorSettings, VerdictSettings
from collector.web.board import Board, County, SchoolState
from collector.web.county_view import heard_text
from collector.web.geo import load_areas
from collector.web.interval import interval_of
from collector.web.office_pages import masked
from collector.web.routes import page_routes
from collector.web.settings import WebSettings
from config.points import FieldValue, Point
from config.school import School
from config.settings import SettingsError
from tests.collector.running import wait_until
from tests.collector.web import county
from tests.collector.web.rooms import PagesOnly, heartbeat, interface_points, open_pages
from tests.collector.web.serving import Client, serving

MET, NOT_MET = 6, 2
"""Of twelve schools whose kinds go round: met, not met, unknown, silent, met, met."""


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesOnly]:
    folder = tmp_path_factory.mktemp("county")
    web = WebSettings(map=str(county.outline(folder)), rows=5)
    settings = CollectorSettings(
        str(folder), verdicts=VerdictSettings(plans=("shandan", "changxing")), web=web
    )
    opened = open_pages(folder, settings=settings)
    county.fill(opened, 12)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(rooms: PagesOnly) -> Iterator[Client]:
    with serving([*page_routes(rooms), *agent_page_routes(rooms)]) as made:
        yield made


def listed(client: Client, query: str) -> list[str]:
    """The ids of the schools in the list, in its order."""
    page = client.get(f"/?lang=en&{query}").text
    return re.findall(r'<th scope="row"><a href="/schools/(\w+)">', page.partition('class="listing"')[2])


def figures(client: Client, query: str = "") -> list[int]:
    page = client.get(f"/?lang=en&{query}").text
    return [int(count) for count in re.findall(r"<strong>(\d+)</strong>", page)]


def test_the_target_most_schools_are_asked_comes_first(client: Client) -> None:
    met, unknown, not_met = figures(client)
    assert (met, not_met) == (MET, NOT_MET)
    assert met + unknown + not_met == 13  # and the sample school, of which nothing is known


def test_another_target_can_be_chosen_and_nonsense_is_as_if_not_asked(client: Client) -> None:
    assert figures(client, "plan=shandan&target=two_fibre_networks") == [0, 13, 0]
    assert figures(client, "plan=nothing&target=%3Cscript%3E") == figures(client)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("answer=not_met", ["s1", "s7"]),
        ("q=s7", ["s7"]),
        ("q=%E5%88%9D%E7%BA%A7", ["s1", "s6", "s11"]),  # 初级
        ("township=%E4%BD%8D%E5%A5%87%E9%95%87", ["s1", "s7"]),  # 位奇镇
        ("answer=met&carrier=%E8%81%94%E9%80%9A", ["s5", "s11"]),  # 联通
        ("q=nobody", []),
        ("q=%00%27%22--", []),
    ],
)
def test_schools_are_found(client: Client, query: str, expected: list[str]) -> None:
    assert sorted(listed(client, query)) == sorted(expected)


def test_the_list_is_sorted_and_cut_into_pages(client: Client) -> None:
    first = listed(client, "")
    assert first[:2] == ["s7", "s1"] or first[:2] == ["s1", "s7"]
    pages = [listed(client, f"sort=classes&page={number}") for number in (1, 2, 3)]
    assert [len(page) for page in pages] == [5, 5, 3]
    classes = [school.classes or 0 for page in pages for each in page if (school := _school(client, each))]
    assert classes == sorted(classes)
    assert listed(client, "sort=classes&down=1&page=1")[0] in {"s4", "s9"}
    assert listed(client, "page=99999") == listed(client, "page=3")


def _school(client: Client, school_id: str) -> School | None:
    return {each.id: each for each in county.schools(12)}.get(school_id) or School("sample", classes=12)


def test_a_bar_shows_both_ends_and_the_need(client: Client) -> None:
    page = client.get("/?lang=en&q=s2").text
    assert "27 Mbit/s" not in page
    found = re.search(
        r'<rect class="open" x="([\d.]+)" width="([\d.]+)".*?<span class="rate">([^<]+)<', page, re.S
    )
    assert found is not None
    assert found[3] == "81 Mbit/s – 1 Gbit/s of 180 Mbit/s"
    assert float(found[1]) == pytest.approx(60 * 81 / 180, abs=0.1)
    assert float(found[1]) + float(found[2]) == pytest.approx(100)


def test_every_school_is_on_the_map_or_named_beside_it(client: Client) -> None:
    page = client.get("/?lang=en").text
    drawn = re.findall(r'<g class="dot (\w+)"', page)
    assert len(drawn) == 11
    assert drawn.count("met") == MET - 1
    assert "2 schools without coordinates" in page  # s10, which is met, and the sample
    assert page.count('class="area"') == 2
    assert all(0 <= float(x) <= 800 for x in re.findall(r'<circle cx="([\d.]+)"', page))


def test_what_changed_since_yesterday_is_told(client: Client) -> None:
    page = client.get("/?lang=en").text.partition('id="changes-title"')[2].partition("<section")[0]
    assert '<a href="/schools/s11">' in page
    assert "became" in page


def test_a_school_admin_sees_his_schools_alone(rooms: PagesOnly) -> None:
    his = somebody("head", Role.SCHOOL_ADMIN, Via.SESSION, frozenset({"s1"}))
    with serving([*page_routes(rooms), *agent_page_routes(rooms)], his) as client:
        assert figures(client) == [0, 0, 1]
        for path in ("/", "/agents", "/plans"):
            page = client.get(path).text
            assert "s2" not in re.findall(r"/schools/(\w+)", page)
            assert "位奇" in page or path == "/plans"
        assert client.get("/schools/s1").status_code == 200
        for path in ("/schools/s2", "/schools/s2/throughput"):
            assert client.get(path).status_code == 404
        for path in ("/wall", "/settings"):
            assert client.get(path).status_code == 403


def test_a_board_that_goes_on_sees_what_becomes_of_each_school(tmp_path: Path) -> None:
    open_now: list[Incident] = []
    with contextlib.closing(open_pages(tmp_path)) as opened:
        opened.verdicts.tick()
        board = Board(
            opened.registry, opened.store, opened.verdicts, opened.uptime,
            refresh_seconds=0.01, open_incidents=lambda: open_now,
        )  # fmt: skip

        def sees(said: Callable[[County], bool], *, before: int) -> None:
            wait_until(lambda: said(board.county()) and board.number() > before)

        def sample(county: County) -> SchoolState:
            return county.schools["sample"]

        number = board.county().number
        assert board.county().number == number
        board.start()
        opened.take(interface_points(12))
        sees(
            lambda found: any(interval_of(each.verdict).is_known for each in sample(found).judged),
            before=number,
        )
        number = board.number()
        heartbeat(opened)
        sees(lambda found: heard_text(sample(found), "en", found.at)[1], before=number)
        number = board.number()
        failed: dict[str, FieldValue] = {"result": "fail", "code": "not_checked", "values": "{}"}
        opened.take([Point("ipv6_check", {"check": "1"}, failed, time.time_ns())])
        sees(lambda found: sample(found).ipv6 == (0, 0), before=number)
        number = board.number()
        now = datetime.now(UTC)
        open_now.append(Incident(1, "centre_down", "", "centre", "critical", "open", now, now))
        sees(lambda found: found.incidents == tuple(open_now), before=number)
        board.stop()


def test_pages_are_compressed_and_small(client: Client) -> None:
    answer = client.get("/", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.body) < 30_000


def test_agents_plans_and_settings_say_what_the_commands_say(client: Client) -> None:
    assert "s3-1" in client.get("/agents?lang=en").text
    plans = client.get("/plans?lang=en").text
    assert "实现全县所有中小学和幼儿园教育计算机专网万兆到校" in plans
    assert "in force from 2017-07-10 to 2018-12-31" in plans
    settings = client.get("/settings?lang=en").text
    for line in ("verdicts.plans</code></th><td>shandan, changxing", "heartbeat</code></th><td>5 s",
                 "notice</code></th><td>–", "enrolment.sheet_valid</code></th><td>7 d"):  # fmt: skip
        assert line in settings


@pytest.mark.fault(20)
@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("registry.url", "postgresql://xt:hunter2@db/xt", "postgresql://xt:***@db/xt"),
        ("access.oidc.client_secret", "hunter2", "••••••"),
        ("store.influxdb.token_file", "/etc/token", "/etc/token"),
        ("listen.port", 8080, "8080"),
        ("x.url", "https://a:hunter2@host/x", "https://a:***@host/x"),
        ("x.url", "see https://a:hunter2@host", "••••••"),
    ],
)
def test_secrets_are_masked(key: str, value: object, shown: str) -> None:
    assert masked(key, value) == shown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is no GeoJSON"),
        ('{"type": "FeatureCollection"}', "is no GeoJSON of polygons"),
        ('{"type": "FeatureCollection", "features": []}', "holds no Polygon"),
        ('{"type": "Polygon", "coordinates": [[[200, 0], [1, 1], [2, 2]]]}', "are no degrees"),
        ('{"type": "Polygon", "coordinates": 5}', "is no GeoJSON of polygons"),
        ("[" * 100_000, "is no GeoJSON"),
    ],
)
def test_a_map_that_is_none_is_one_line(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "map.geojson"
    file.write_text(text)
    with pytest.raises(SettingsError, match=why) as caught:
        load_areas(file, 1_000_000)
    assert "\n" not in str(caught.value)


def test_a_map_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"larger than web\.map_bytes"):
        load_areas(county.outline(tmp_path), 100)
