"""A classroom's terminal on lines of known rates: what the page /speed says beside what iperf3 says.

``python -m tests.lab.terminals [MEGABITS …]`` (default 50 100 500), each over IPv4 and, the first, over IPv6.
"""

from __future__ import annotations

import contextlib
import json
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from collector.registry import Registry
from collector.terminals.codes import code_of
from config.school import School
from tests.collector.web.browser import Browser
from tests.lab import links, programs
from tests.lab.netns import Lab

RATES = (50, 100, 500)
PORT, IPERF_PORT = 8080, 5201
MTU = 1500
QUEUE_SECONDS = 0.05
CENTRE = {"ipv4": "10.77.0.1", "ipv6": "fd77::1"}
TERMINAL = {"ipv4": "10.77.0.2", "ipv6": "fd77::2"}
NETWORKS = ("10.77.0.0/24", "fd77::/64")
MEGA = 1_000_000


class Compared(msgspec.Struct, frozen=True):
    """One direction: payload in bit/s by the page and by iperf3's receiver, of the same line."""

    rate_bits_per_second: int
    family: str
    direction: str
    page_bits_per_second: int
    iperf3_bits_per_second: int

    @property
    def difference(self) -> float:
        """Of the page from iperf3, a share."""
        return self.page_bits_per_second / self.iperf3_bits_per_second - 1


class Classroom:
    """A terminal, a line, the county's centre with a collector."""

    def __init__(self, lab: Lab, load_seconds: float) -> None:
        self._lab = lab
        self.terminal, self._centre = lab.namespace("terminal"), lab.namespace("centre")
        links.cable((self.terminal, "line"), (self._centre, "line"), MTU)
        for where, own in ((self.terminal, TERMINAL), (self._centre, CENTRE)):
            where.ip(
                [
                    "link set dev lo up",
                    f"addr add {own['ipv4']}/24 dev line",
                    f"addr add {own['ipv6']}/64 dev line nodad",
                ]
            )
        self.seconds = load_seconds
        self.code = self._serve()

    def set_rate(self, bits_per_second: int) -> None:
        """Both ways, at the IP layer."""
        for where in (self.terminal, self._centre):
            links.set_rate(where, "line", bits_per_second, QUEUE_SECONDS)

    def page(self, family: str, place: str = "", picture: Path | None = None) -> dict[str, Any]:
        """What the page says, its figures and what it wrote to the console."""
        host = CENTRE[family] if family == "ipv4" else f"[{CENTRE[family]}]"
        with self.terminal.call(Browser) as browser, browser.tab(390, 900) as tab:
            tab.ask("Network.disable")  # it would tell of every chunk
            tab.open(f"http://{host}:{PORT}/speed?lang=en")
            tab.value(f"document.getElementById('speed-place').value = {json.dumps(place)}")
            tab.value("document.getElementById('speed-start').click()")
            tab.wait_for("speed.dataset.result || speed.dataset.error", 2 * self.seconds + 30)
            found = json.loads(tab.value("speed.dataset.result || '{}'"))
            shown = tab.value("document.getElementById('content').innerText")
            if picture is not None:
                tab.picture(picture, whole=True)
            return {
                **found,
                "shown": shown,
                "error": tab.value("speed.dataset.error || ''"),
                "faults": tab.faults,
            }

    def iperf3(self, family: str, direction: str) -> int:
        """What iperf3's receiver got a second, the first quarter left out; bit/s."""
        omit = round(self.seconds / 4)
        argv = ["iperf3", "-J", "-c", CENTRE[family], "-p", str(IPERF_PORT), "-P", "4",
                "-t", str(round(self.seconds) - omit), "-O", str(omit)]  # fmt: skip
        told = json.loads(self.terminal.run(*argv, *(["-R"] if direction == "down" else [])))
        bits: float = told["end"]["sum_received"]["bits_per_second"]
        return round(bits)

    def points(self) -> list[Any]:
        """What the collector keeps of the school's tests."""
        return self._asked("/api/v1/schools/s1/series?measurement=terminal_test")["series"]  # type: ignore[no-any-return]

    def _asked(self, path: str) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=10) as answer:
                return dict(json.load(answer))

        return self._centre.call(ask)

    def _serve(self) -> str:
        data = self._lab.directory / "data"
        data.mkdir()
        registry = Registry.open(f"sqlite:///{data / 'registry.db'}")
        registry.put_school(School("s1", name="样例小学", networks=NETWORKS))
        code = code_of(registry, "s1")
        registry.close()
        settings = {
            "data_directory": str(data),
            "listen": {"host": "::", "port": PORT},
            "verdicts": {"plans": ["beilun"]},
            "terminals": {"load": f"{self.seconds}s", "per_address": 1000},
            "access": {"anonymous": "county_admin"},
        }
        file = self._lab.directory / "collector.yaml"
        file.write_text(yaml.safe_dump(settings))
        argv = [str(Path(sys.executable).with_name("xiaotong-collector")), "serve", "--config", str(file)]
        server = self._lab.start(self._centre, argv, log="collector")
        programs.wait_for_port(self._centre, CENTRE["ipv4"], PORT, server)
        iperf = self._lab.start(self._centre, ["iperf3", "-s", "-p", str(IPERF_PORT)], log="iperf3")
        programs.wait_for_port(self._centre, CENTRE["ipv4"], IPERF_PORT, iperf)
        return code


@contextlib.contextmanager
def classroom(load_seconds: float) -> Iterator[Classroom]:
    """Stand it up, and take it down whatever happens."""
    with Lab() as lab:
        yield Classroom(lab, load_seconds)


def compared(
    room: Classroom, megabits: int, family: str, directions: Sequence[str] = ("down", "up")
) -> list[Compared]:
    """The directions on a line of that rate; the page always tests both."""
    room.set_rate(megabits * MEGA)
    page = room.page(family)
    if page["error"]:
        raise SystemExit(f"the page said {page['error']}: {page['shown']}")
    return [
        Compared(megabits * MEGA, family, direction, page[f"{direction}_bits_per_second"] or 0,
                 room.iperf3(family, direction))
        for direction in directions
    ]  # fmt: skip


def main(arguments: list[str]) -> int:
    """Print both figures of each line; 1 when a pair is further apart than 5 %."""
    rates = [int(each) for each in arguments] or list(RATES)
    apart = 0
    with classroom(8.0) as room:
        for number, rate in enumerate(rates):
            for family in ("ipv4", "ipv6") if number == 0 else ("ipv4",):
                for each in compared(room, rate, family):
                    apart += abs(each.difference) > 0.05
                    page, iperf = each.page_bits_per_second / MEGA, each.iperf3_bits_per_second / MEGA
                    told = f"page {page:.2f}, iperf3 {iperf:.2f} Mbit/s, {each.difference:+.1%}"
                    print(f"{rate} Mbit/s {family} {each.direction}: {told}", flush=True)
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
