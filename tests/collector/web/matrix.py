"""Every page in both languages at three widths in a real browser: ``python -m tests.collector.web.matrix``.

Each is looked at by axe-core, its console and its requests are judged, and a picture of it is kept in
``tests/artefacts/pages`` (or ARTEFACTS). Every name and note of the county holds a script. The suite plays a
part of it (test_browser.py).
"""

from __future__ import annotations

import itertools
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from collector.access.room import SESSION_COOKIE
from tests.collector.web.browser import Browser, Tab
from tests.collector.web.whole import Site, hostile_site

ARTEFACTS = Path(os.environ.get("ARTEFACTS", Path(__file__).parents[2] / "artefacts")) / "pages"
DOCUMENT = "/api/v1/docs"
PAGES = (
    "/", "/schools/s0", "/wall", "/plans", "/agents", "/agents/configuration?for=agent:s0-1", "/operations",
    "/settings", "/ipv6", "/incidents",
    "/incidents/{incident}", "/silences", "/reports", "/speed", "/account", "/users", "/audit", "/region",
    "/login", "/password?link={link}", DOCUMENT, "/nosuch",
)  # fmt: skip
LANGUAGES = ("zh-CN", "en")
SIZES = ((1920, 1080), (1280, 900), (390, 844))
GRAVE = ("serious", "critical")
AXE = files("axe_core_python").joinpath("axe.min.js")


class View(NamedTuple):
    """One page as it is looked at."""

    path: str
    language: str
    width: int
    height: int
    dark: bool


def whole() -> list[View]:
    """All of it; every second view is dark."""
    views = itertools.product(PAGES, LANGUAGES, SIZES, (False, True))
    return [View(path, language, *size, dark) for path, language, size, dark in views]


def part() -> list[View]:
    """What the suite looks at: each page once but the longest, each language and width, light and dark."""
    sizes, languages = itertools.cycle(SIZES[::-1]), itertools.cycle(LANGUAGES)
    return [
        View(path, next(languages), *next(sizes), dark=number % 4 < 2)
        for number, path in enumerate(PAGES)
        if path != DOCUMENT
    ]


def look(browser: Browser, site: Site, view: View) -> list[str]:
    """Open one page as somebody who is logged in, and give what is wrong with it; its picture is kept."""
    origin, path = f"http://127.0.0.1:{site.port}", view.path.format(**site.places)
    with browser.tab(view.width, view.height, dark=view.dark) as tab:
        tab.ask("Network.setCookie", name=SESSION_COOKIE, value=site.session, url=origin)
        tab.open(f"{origin}{path}{'&' if '?' in path else '?'}lang={view.language}")
        if view.path.startswith("/schools/"):
            tab.wait_for("document.querySelector('[data-points]')")
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "-", view.path).strip("-") or "county"
        shade = "dark" if view.dark else "light"
        tab.picture(
            ARTEFACTS / f"{name}.{view.language}.{view.width}.{shade}.png", whole=view.path != "/wall"
        )
        return [f"{view}: {fault}" for fault in _faults(tab, origin, view)]


def axe_faults(tab: Tab) -> list[str]:
    """What axe-core finds grave, with where."""
    tab.value(AXE.read_text(encoding="utf-8") + "; true")
    found: list[dict[str, Any]] = tab.value(
        "axe.run({resultTypes: ['violations']}).then((done) => done.violations)"
    )
    return [
        f"axe {each['id']} ({each['impact']}): {[node['html'][:150] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in GRAVE
    ]


def _faults(tab: Tab, origin: str, view: View) -> Iterator[str]:
    missing = "status of 404" if view.path == "/nosuch" else None
    yield from (fault for fault in tab.faults if missing is None or missing not in fault)
    here = (f"{origin}/", "data:", "blob:")
    yield from (f"asks {url}" for url in tab.requests if not url.startswith(here))
    if tab.value("document.title").startswith("stolen") or tab.value("document.images.length"):
        yield "a script or picture of a name became one"
    if tab.value("document.documentElement.lang") != view.language:
        yield "not in the language asked for"
    if tab.value("document.documentElement.scrollWidth") > view.width:
        yield f"wider than {view.width} pixels"
    yield from axe_faults(tab)


def faults(browser: Browser, site: Site, views: Iterable[View]) -> list[str]:
    """What is wrong with the views."""
    return [fault for view in views for fault in look(browser, site, view)]


def main() -> int:
    """The whole matrix; status 1 when anything is wrong."""
    with (
        tempfile.TemporaryDirectory() as folder,
        hostile_site(Path(folder), 20) as site,
        Browser() as browser,
    ):
        found = faults(browser, site, whole())
    print("\n".join(found) or f"{len(whole())} views, nothing wrong; pictures in {ARTEFACTS}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
