"""The pages by a client in this process: what they say, in which language, and what they let in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.web.rendering import STATIC, TEMPLATES
from collector.web.routes import page_routes
from config.points import Point
from tests.collector.web.rooms import SCRIPT, PagesOnly, heartbeat, interface_points, open_pages
from tests.collector.web.serving import Client, serving


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[PagesOnly]:
    opened = open_pages(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def client(rooms: PagesOnly) -> Iterator[Client]:
    with serving(page_routes(rooms)) as made:
        yield made


def probe_point(name: str, **fields: str | bool) -> Point:
    (moment,) = {point.time_ns for point in interface_points(1)}
    return Point("probe", {"probe": name}, {"success": True, **fields}, moment)


def test_a_school_shows_verdicts_evidence_and_what_would_settle(rooms: PagesOnly, client: Client) -> None:
    rooms.take(interface_points(12))
    page = client.get("/schools/sample").text
    assert "班均出口带宽(2017-12-31 前)" in page
    assert "不低于 120 Mbit/s" in page
    assert "下行 ≥ 55 Mbit/s · 流量峰值 · line1" in page
    assert "可作定论的办法:对线路做一次达标验证测试" in page
    assert "《山丹县教育体育局关于加快推进教育信息化工作的实施意见》" in page
    assert re.search(r'class="verdict unknown"><span aria-hidden="true">\?</span> 未知', page)


def test_the_list_counts_answers_in_symbols_and_words(rooms: PagesOnly, client: Client) -> None:
    rooms.take(interface_points(12))
    page = client.get("/", headers={"Accept-Language": "en"}).text
    assert '<a href="/schools/sample">样例小学</a>' in page
    for count, symbol, word in ((0, "✓", "met"), (0, "✗", "not met"), (1, "?", "unknown")):
        shown = rf'<strong>{count}</strong> <span><span aria-hidden="true">{re.escape(symbol)}</span> {word}<'
        assert re.search(shown, page)
    assert "55 Mbit/s – 1 Gbit/s of 120 Mbit/s" in page


def test_nothing_measured_is_unknown_and_no_zero(client: Client) -> None:
    page = client.get("/schools/sample?lang=en").text
    assert "Nothing has been measured yet." in page
    assert "0 bit/s" not in page
    assert "Agent: no agent" in page


def test_probes_say_why_they_are_unknown(rooms: PagesOnly, client: Client) -> None:
    points = [
        probe_point("ping", unknown="needs CAP_NET_RAW"),
        probe_point("capacity", error="refused", success=False),
        probe_point("interfaces"),
    ]
    rooms.take(points)
    page = client.get("/schools/sample?lang=en").text
    assert "? unknown: needs CAP_NET_RAW" in page
    assert "✗ failed: refused" in page
    assert "✓ measures" in page


def test_the_agent_last_heard_is_said(rooms: PagesOnly, client: Client) -> None:
    heartbeat(rooms)
    assert "探针最近一次消息:" in client.get("/schools/sample").text


@pytest.mark.parametrize(
    ("query", "accept", "expected"),
    [
        ("", "", "zh-CN"),
        ("", "en-GB,en;q=0.9", "en"),
        ("", "zh-CN", "zh-CN"),
        ("?lang=en", "zh-CN", "en"),
        ("?lang=zh-CN", "en", "zh-CN"),
        ("?lang=%22%3E%3Cscript%3E", "en", "zh-CN"),
    ],
)
def test_the_language_is_the_one_asked_for(client: Client, query: str, accept: str, expected: str) -> None:
    page = client.get(f"/{query}", headers={"Accept-Language": accept})
    assert f'<html lang="{expected}">' in page.text
    assert "<script>" not in page.text


def test_the_language_chosen_is_remembered(client: Client) -> None:
    client.get("/?lang=en")
    assert '<html lang="en">' in client.get("/", headers={"Accept-Language": "zh-CN"}).text


@pytest.mark.fault(18)
def test_script_in_a_name_is_text(tmp_path: Path) -> None:
    rooms = open_pages(tmp_path, SCRIPT)
    rooms.take(interface_points(3, interface=SCRIPT))
    rooms.take([probe_point(SCRIPT, unknown=SCRIPT)])
    with serving(page_routes(rooms)) as client:
        for path in ("/", "/schools/sample"):
            page = client.get(path).text
            assert "<script>document" not in page
            assert "<img" not in page
            assert "&lt;script&gt;document.title" in page
        data = client.get("/schools/sample/throughput")
        assert data.headers["content-type"] == "application/json"
    rooms.close()


@pytest.mark.parametrize("path", ["/", "/schools/sample", "/static/page.css", "/schools/sample/throughput"])
def test_every_answer_lets_only_this_host_in(client: Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    ["/schools/none", "/schools/none/throughput", "/schools/..%2f..%2fetc", "/static/../rendering.py",
     "/static/%2e%2e/rendering.py", "/static/..%2frendering.py"],
)  # fmt: skip
def test_what_is_not_there_is_404(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_templates_and_scripts_have_nothing_inline_and_no_other_host() -> None:
    for file in [*TEMPLATES.glob("*.html"), *STATIC.glob("*.*")]:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://(?!: )|<style|\son\w+=|\sstyle=", text), file.name
        assert not re.search(r"<script(?![^>]*src=)", text), file.name
        assert "innerHTML" not in text, file.name


def test_a_missing_window_is_missing_and_never_zero(rooms: PagesOnly, client: Client) -> None:
    rooms.take(interface_points(20, missing=range(8, 13)))
    (series,) = client.get("/schools/sample/throughput").json()["interfaces"]
    assert (series["interface"], series["role"], series["line"]) == ("eth0", "line", "line1")
    assert len(series["times"]) == 15
    assert series["window_seconds"] == 10.0
    assert 0 not in series["rx_bits_per_second"]
    gaps = [later - before for before, later in zip(series["times"], series["times"][1:], strict=False)]
    assert max(gaps) == 60.0


def test_a_window_without_samples_has_no_rate(rooms: PagesOnly, client: Client) -> None:
    (point,) = interface_points(1)
    rooms.take([Point(point.measurement, point.tags, {**point.fields, "samples": 0}, point.time_ns)])
    (series,) = client.get("/schools/sample/throughput").json()["interfaces"]
    assert series["rx_bits_per_second"] == [None]
