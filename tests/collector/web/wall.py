"""A wall refreshed in place far more often than in a day, and what the browser holds of it then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.collector.web.browser import Tab

AT_ONCE = 10
"""Refreshes in one command, which has its time limit."""
MOST_GROWTH = 0.10
"""Of nodes and heap, against the first round: the county itself changes meanwhile."""
_REFRESH = """(async () => {
  const { morph } = await import("/static/page.js");
  for (let n = 0; n < %d; n += 1) {
    const text = await (await fetch(location.href)).text();
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("wall");
    morph(document.getElementById("wall"), fresh);
    document.dispatchEvent(new Event("refreshed"));
  }
})()"""


class Held(NamedTuple):
    """What the browser holds after so many refreshes, its garbage collected."""

    refreshes: int
    nodes: int
    listeners: int
    heap_bytes: int


def refreshed(tab: Tab, rounds: int, each: int) -> Iterator[Held]:
    """Refresh the wall that stands in ``tab`` so many times a round (in tens), and look after each."""
    tab.ask("Performance.enable")
    for number in range(1, rounds + 1):
        for _ in range(each // AT_ONCE):
            tab.value(_REFRESH % AT_ONCE)
        tab.ask("HeapProfiler.collectGarbage")
        found = {one["name"]: one["value"] for one in tab.ask("Performance.getMetrics")["metrics"]}
        yield Held(
            number * each, int(found["Nodes"]), int(found["JSEventListeners"]), int(found["JSHeapUsedSize"])
        )


def grows(first: Held, last: Held) -> bool:
    """Whether it holds more than the county's own changes explain."""
    most = 1 + MOST_GROWTH
    return (
        last.nodes > first.nodes * most
        or last.listeners > first.listeners
        or last.heap_bytes > first.heap_bytes * most
    )
