"""The pages in a real Chromium: drawn, fresh without a reload, and safe from what names hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from collector.web.routes import page_routes
from tests.collector.web import matrix
from tests.collector.web.browser import Browser, Tab
from tests.collector.web.rooms import PagesOnly, heartbeat, interface_points, open_pages
from tests.collector.web.serving import Client, serving
from tests.collector.web.wall import grows, refreshed
from tests.collector.web.whole import Site, hostile_site

SMALLEST_LETTERS = """Math.min(...[...document.querySelectorAll('#wall *')]
  .filter((each) => each.getClientRects().length && !each.closest('svg, .visually-hidden')
                    && [...each.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim()))
  .map((each) => parseFloat(getComputedStyle(each).fontSize)))"""

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesOnly]:
    opened = open_pages(tmp_path_factory.mktemp("rooms"))
    heartbeat(opened)
    opened.take(interface_points(120, missing=range(60, 80)))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with hostile_site(tmp_path_factory.mktemp("hostile"), 6) as opened:
        yield opened


@pytest.fixture(scope="module")
def site(rooms: PagesOnly) -> Iterator[Client]:
    with serving(page_routes(rooms)) as client:
        yield client


def at(tab: Tab, site: Client | Site, path: str) -> Tab:
    return tab.open(f"http://127.0.0.1:{site.port}{path}")


@pytest.mark.fault(18)
def test_every_page_is_sound_whatever_names_hold(browser: Browser, hostile: Site) -> None:
    """No error on the console, no request to another host, nothing grave for axe-core, script stays text."""
    assert matrix.faults(browser, hostile, matrix.part()) == []


def test_the_chart_is_drawn_with_a_line_at_the_target(browser: Browser, site: Client) -> None:
    with browser.tab() as tab:
        at(tab, site, "/schools/sample?lang=en").wait_for(
            "document.querySelector('[data-points=\"100\"] canvas')"
        )
        label = tab.value("document.querySelector('.plot').getAttribute('aria-label')")
        assert re.fullmatch(r"eth0: down [\d.]+ Mbit/s, up [\d.]+ Mbit/s · target 120 Mbit/s", label)
        assert tab.value("document.getElementById('stale').hidden")


def test_dragging_over_the_chart_asks_for_that_time_alone(browser: Browser, site: Client) -> None:
    with browser.tab() as tab:
        at(tab, site, "/schools/sample").wait_for("document.querySelector('[data-points=\"100\"] canvas')")
        box = tab.value(
            "(() => { const plot = document.querySelector('.u-over'); plot.scrollIntoView({block: 'center'});"
            "const {x, y, width} = plot.getBoundingClientRect(); return [x, y, width]; })()"
        )
        for kind, share in (("mousePressed", 0.2), ("mouseMoved", 0.4), ("mouseReleased", 0.4)):
            tab.ask(
                "Input.dispatchMouseEvent", type=kind, x=box[0] + share * box[2], y=box[1] + 60,
                button="left", buttons=1, clickCount=1,
            )  # fmt: skip
        tab.wait_for("Number(document.querySelector('[data-points]').dataset.points) < 40")
        assert any("throughput?from=" in url for url in tab.requests)


def test_pages_are_told_of_a_change_and_refresh_in_place(browser: Browser, tmp_path: Path) -> None:
    rooms = open_pages(tmp_path, "fresh")
    latest = interface_points(6)
    rooms.take(latest)
    with serving(page_routes(rooms)) as client, browser.tab() as tab:
        at(tab, client, "/schools/sample?lang=en").wait_for("document.querySelector('[data-points]')")
        assert "Agent last heard" not in tab.html()
        rooms.take([msgspec.structs.replace(latest[-1], time_ns=latest[-1].time_ns + 10**9)])
        rooms.registry.add_agent("sample")
        heartbeat(rooms)
        rooms.board.county()
        tab.wait_for("document.body.textContent.includes('Agent last heard')", 20)
        tab.wait_for("document.querySelector('[data-points=\"7\"]')", 20)
        assert sum(url.endswith("/schools/sample?lang=en") for url in tab.requests) >= 2
        assert tab.value("performance.getEntriesByType('navigation').length") == 1
    rooms.close()


def test_the_wall_turns_its_faces_and_says_when_its_data_are_old(browser: Browser, hostile: Site) -> None:
    with browser.tab(1920, 1080) as tab:
        at(tab, hostile, "/wall?lang=en").wait_for("document.body.dataset.face === '0'")
        shown = "[...document.querySelectorAll('.face')].filter((each) => each.offsetHeight).length"
        assert tab.value(shown) == 1
        for face in range(4):
            tab.value(f"document.body.dataset.face = '{face}'")
            assert tab.value(f"document.querySelectorAll('.face')[{face}].offsetHeight") > 0
            assert tab.value(SMALLEST_LETTERS) >= 1080 / 40  # for whoever stands five metres away
            assert tab.value(f"[...document.querySelectorAll('.face')][{face}].scrollHeight") <= tab.value(
                f"[...document.querySelectorAll('.face')][{face}].clientHeight"
            )
        assert tab.value("document.getElementById('old').hidden")
        tab.value("document.getElementById('wall').dataset.age = 3600")
        tab.value("document.dispatchEvent(new Event('refreshed'))")
        tab.wait_for("!document.getElementById('old').hidden")
        assert "1:00:0" in tab.value("document.getElementById('old').textContent")


def test_a_wall_that_is_refreshed_often_does_not_grow(browser: Browser, hostile: Site) -> None:
    """Nodes and listeners stay those of the first refreshes; longer: ``python -m tests.bench.wall``."""
    with browser.tab(1280, 720) as tab:
        at(tab, hostile, "/wall").wait_for("document.body.dataset.face")
        first, last = refreshed(tab, rounds=2, each=20)
        assert not grows(first, last)


def test_the_keyboard_reaches_the_content_first(browser: Browser, site: Client) -> None:
    with browser.tab() as tab:
        at(tab, site, "/")
        for kind in ("keyDown", "keyUp"):
            tab.ask("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        assert tab.value("document.activeElement.className") == "skip"
        assert tab.value("document.activeElement.getBoundingClientRect().x") > 0
