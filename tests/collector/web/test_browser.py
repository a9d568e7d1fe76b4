"""The school's page in a real Chromium: the chart is drawn, gaps are gaps, script in a name does nothing."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.access import Permission, permitted
from collector.access.routes import guarded
from collector.web import routes
from tests.collector.web.browser import dumped, pictured
from tests.collector.web.rooms import SCRIPT, heartbeat, interface_points, open_pages
from tests.collector.web.serving import COUNTY, Client, LetsIn, serving

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module", params=["样例小学"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    rooms = open_pages(tmp_path_factory.mktemp("rooms"), request.param)
    heartbeat(rooms)
    rooms.take(interface_points(120, missing=range(60, 80)))
    with serving(routes(rooms)) as client:
        yield client
    rooms.close()


def test_the_chart_is_drawn_with_a_line_at_the_target(site: Client, tmp_path: Path) -> None:
    page = dumped(f"http://127.0.0.1:{site.port}/schools/sample?lang=en", tmp_path)
    assert re.search(r'<section class="panel" data-points="100"', page)
    assert re.search(r'<canvas [^>]*width="\d{3,}"', page)
    assert re.search(r'aria-label="eth0: down [\d.]+ Mbit/s, up [\d.]+ Mbit/s · target 120 Mbit/s"', page)
    assert "No data yet." not in page
    assert re.search(r'<p id="stale"[^>]* hidden', page)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_screen_of_any_width_shows_it(site: Client, tmp_path: Path, width: int) -> None:
    file = tmp_path / "page.png"
    pictured(f"http://127.0.0.1:{site.port}/schools/sample", tmp_path / "profile", file, width, 1600)
    assert struct.unpack(">II", file.read_bytes()[16:24]) == (width, 1600)


@pytest.mark.fault(18)
def test_script_in_names_does_not_run(tmp_path: Path) -> None:
    rooms = open_pages(tmp_path, SCRIPT)
    rooms.take(interface_points(6, interface=SCRIPT))
    with serving(routes(rooms)) as client:
        page = dumped(f"http://127.0.0.1:{client.port}/schools/sample", tmp_path / "profile")
    rooms.close()
    assert "<title>&lt;script&gt;" in page
    assert "<img" not in page
    assert 'data-points="6"' in page


def test_chart_and_cards_stay_fresh_without_a_reload(tmp_path: Path) -> None:
    """Virtual time passes three periods; each asking for the chart's data finds one more point."""
    rooms = open_pages(tmp_path, "fresh")
    latest = interface_points(6)
    rooms.take(latest)
    asked: list[str] = []

    class Counting:
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            mode = dict(scope["headers"]).get(b"sec-fetch-mode", b"").decode()
            asked.append(f"{mode} {scope['path']}")
            if scope["path"].endswith("/throughput"):
                heartbeat(rooms)
                latest.append(msgspec.structs.replace(latest[-1], time_ns=latest[-1].time_ns + 10**9))
                rooms.take(latest[-1:])
            await self._app(scope, receive, send)

    inside = guarded(routes(rooms), LetsIn(COUNTY))
    counted: list[BaseRoute] = [
        permitted(Permission.PUBLIC, Mount("/", routes=inside, middleware=[Middleware(Counting)]))
    ]
    with serving(counted) as client:
        page = dumped(
            f"http://127.0.0.1:{client.port}/schools/sample?lang=en",
            tmp_path / "profile",
            "--virtual-time-budget=16000",
        )
    rooms.close()
    drawn = re.search(r'<section class="panel" data-points="(\d+)"', page)
    assert drawn is not None
    assert int(drawn[1]) > 7
    assert asked.count("navigate /schools/sample") == 1
    assert asked.count("cors /schools/sample") >= 2
    assert "No agent has been heard" not in page
    assert "Agent last heard" in page
