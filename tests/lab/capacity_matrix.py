"""``python -m tests.lab.capacity_matrix``: capacity tests on lines of every kind, iperf3 beside them.

Prints one row a test and ends with 1 when one of them is wrong. Where a core of this machine, which carries
both ends and the line between them, was the limit, and the test said so by a lower bound that holds, the row
is marked «---»: not wrong, and nothing shown of the line. The short form is in test_capacity.py.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator

import click
import msgspec
from rich.console import Console

from config.points import Point
from tests.agent.capacity.far_end import number
from tests.lab.capacity_lines import LabLine, Lines, held_to, lab_lines
from tests.lab.netns import LabError

M = 10**6
SHAPED = (10 * M, 45 * M, 90 * M, 100 * M, 360 * M)
FAST = (500 * M, 1000 * M)
ROUND_TRIPS = (0.0, 0.010, 0.040)
LOSSES = (0.0, 0.001)
DIRECTIONS = ("down", "up")
FAMILIES = ("ipv4", "ipv6")
SEARCH_TOLERANCE = 0.03
USERS_TOLERANCE = 0.05
IPERF_SECONDS = 10
THRIFTY_FROM = 100 * M
MACHINE: dict[str, object] = {"cpu_limit": 0.97, "busy_cpu": 1.0}
"""Both ends and the line share these cores, so that they are busier than a gateway's; never wholly taken."""
MARKS = {True: "ok ", False: "OFF", None: "---"}
console = Console(width=150)


class Row(msgspec.Struct, frozen=True):
    """One test: what was set, what was said, what iperf3 said, and whether that is right."""

    part: str
    line: str
    found: str
    beside: str
    right: bool | None


class Setting(msgspec.Struct, frozen=True):
    """How a line is set."""

    rate: int
    round_trip: float
    loss: float

    def __str__(self) -> str:
        return f"{self.rate / M:g}M {self.round_trip * 1e3:g}ms {self.loss:.1%}"

    def on(self, lines: Lines) -> LabLine:
        """The line, set so."""
        line = lines["far" if self.round_trip else "near"]
        line.set(self.rate, self.round_trip, self.loss)
        return line


SETTINGS = [
    *(Setting(*each) for each in itertools.product(SHAPED, ROUND_TRIPS, LOSSES)),
    *(Setting(rate, 0.0, 0.0) for rate in FAST),
]


def search(lines: Lines, *, only: int, iperf_seconds: int) -> Iterator[Row]:
    """Within 3 % of the shaped rate; from 100 Mbit/s on with a third of iperf3's bytes."""
    for setting, direction, family in itertools.product(_some(SETTINGS, only), DIRECTIONS, FAMILIES):
        line = setting.on(lines)
        (point,) = line.measured(family, [MACHINE | {"mode": "search", "directions": [direction]}])
        theirs, moved = line.iperf3(family, direction, iperf_seconds)
        in_ten_seconds = moved * IPERF_SECONDS / iperf_seconds
        right = search_is_right(point, setting.rate) and thrifty(point, setting.rate, in_ten_seconds)
        yield Row(
            "search", f"{setting} {direction} {family}", _said(point, setting.rate),
            f"iperf3 {theirs / setting.rate - 1:+.1%} {moved / M:.0f} MB",
            _judged(point, setting.rate, right),
        )  # fmt: skip


def _judged(point: Point, rate: int, right: bool) -> bool | None:
    """None where the machine was the limit, and the test claims no more than the line carries."""
    held = point.fields["limited_by"] in ("host_cpu", "far_end") and point.fields["bound"] == "lower"
    true = number(point, "ip_bits_per_second") <= (1 + SEARCH_TOLERANCE) * rate
    return None if held and true and not right else right


def search_is_right(point: Point, rate: int) -> bool:
    """The search settled, for this line, within the tolerance."""
    settled = point.fields["bound"] == "equal" and point.fields["counts_for_line"] is True
    return settled and abs(number(point, "ip_bits_per_second") / rate - 1) <= SEARCH_TOLERANCE


def thrifty(point: Point, rate: int, moved: float) -> bool:
    """From 100 Mbit/s on it moved at most a third of what 10 s of iperf3 ``moved``."""
    return rate < THRIFTY_FROM or number(point, "bytes") <= moved / 3


def verify(lines: Lines, *, only: int, iperf_seconds: int) -> Iterator[Row]:
    """Right on both sides of the target by 5 %: 50 runs, each kind of line in turn."""
    del iperf_seconds
    ways = itertools.cycle(itertools.product(DIRECTIONS, FAMILIES))
    settings = [each for each in SETTINGS if each.rate < FAST[1]][:25]
    for setting, (direction, family) in zip(_some(settings, only), ways, strict=False):
        line = setting.on(lines)
        asked = [verify_at(setting.rate * share) | {"directions": [direction]} for share in (0.95, 1.05)]
        for point, reaches in zip(line.measured(family, asked), (True, False), strict=True):
            right = _judged(point, setting.rate, verify_is_right(point, reaches=reaches))
            yield Row(
                "verify", f"{setting} {direction} {family}", _said(point, setting.rate),
                "target 5 % below" if reaches else "target 5 % above", right,
            )  # fmt: skip


def verify_at(asked: float) -> dict[str, object]:
    """A verify run that asks about so many bit/s at the IP layer."""
    return MACHINE | {"mode": "verify", "rate": f"{asked / M:.4f}M", "reached_from": 1.0}


def verify_is_right(point: Point, *, reaches: bool) -> bool:
    """Passed with a lower bound, or failed with an upper one."""
    wanted = (True, "lower") if reaches else (False, "upper")
    return (point.fields.get("passed"), point.fields["bound"]) == wanted


def users(lines: Lines, *, only: int, iperf_seconds: int) -> Iterator[Row]:
    """With users' traffic of 30 and 70 % of the line: within 5 %."""
    del iperf_seconds
    settings = [Setting(rate, 0.0, 0.0) for rate in (45 * M, 100 * M, 360 * M)]
    for setting, share, direction in itertools.product(_some(settings, only), (0.3, 0.7), DIRECTIONS):
        line = setting.on(lines)
        with line.users(direction, round(setting.rate * share), 60):
            (point,) = line.measured("ipv4", [MACHINE | {"mode": "search", "directions": [direction]}])
        off = number(point, "ip_bits_per_second") / setting.rate - 1
        near = point.fields["counts_for_line"] is True and abs(off) <= USERS_TOLERANCE
        right = _judged(point, setting.rate, near)
        yield Row("users", f"{setting} {direction}", _said(point, setting.rate), f"users {share:.0%}", right)


def reno(lines: Lines, *, only: int, iperf_seconds: int) -> Iterator[Row]:
    """Reno on a long, lossy path: a lower bound that says why, never «not met»."""
    del only, iperf_seconds
    setting = Setting(100 * M, 0.040, 0.001)
    line = setting.on(lines)
    modes: list[dict[str, object]] = [{"mode": "search"}, verify_at(95 * M)]
    for direction, mode in itertools.product(DIRECTIONS, modes):
        settings = MACHINE | {"congestion_control": "reno", "directions": [direction]} | mode
        (point,) = line.measured("ipv4", [settings])
        said = (point.fields["bound"], point.fields["limited_by"]) == ("lower", "loss_under_reno")
        right = _judged(point, setting.rate, said)
        yield Row("reno", f"{setting} {direction}", _said(point, setting.rate), "", right)


def held_is_right(point: Point) -> bool:
    """A gateway held back gives a lower bound, and says so unless it passed all the same."""
    fields = point.fields
    return fields["bound"] == "lower" and (fields["limited_by"] == "host_cpu" or fields.get("passed") is True)


def slow_gateway(lines: Lines, *, only: int, iperf_seconds: int) -> Iterator[Row]:
    """A gateway held to a tenth of a core: limited by the host, and no upper bound."""
    del only, iperf_seconds
    setting = Setting(900 * M, 0.0, 0.0)
    line = setting.on(lines)
    own_limits: dict[str, object] = {"cpu_limit": 0.85, "busy_cpu": 1.0}
    with held_to(0.1) as group:
        modes = (dict[str, object](mode="search"), verify_at(860 * M))
        for mode, direction in itertools.product(modes, DIRECTIONS):
            settings = {**mode, **own_limits, "directions": [direction]}
            (point,) = line.measured("ipv4", [settings], group)
            said = _said(point, setting.rate)
            yield Row("slow gateway", str(setting), said, "a tenth of a core", held_is_right(point))


PARTS: dict[str, Callable[..., Iterator[Row]]] = {
    "search": search, "verify": verify, "users": users, "reno": reno, "slow_gateway": slow_gateway,
}  # fmt: skip


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--only", default=1, show_default=True, help="Every so many-th line of a part.")
@click.option("--iperf-seconds", default=IPERF_SECONDS, show_default=True, help="How long iperf3 runs.")
def main(parts: tuple[str, ...], only: int, iperf_seconds: int) -> None:
    """Run the matrix, all parts when none is named."""
    wrong = held = 0
    with lab_lines() as lines:
        for part in parts or PARTS:
            for row in PARTS[part](lines, only=only, iperf_seconds=iperf_seconds):
                wrong += row.right is False
                held += row.right is None
                console.print(f"{MARKS[row.right]} {row.part:12} {row.line:30} {row.found:62} {row.beside}")
    console.print(f"{wrong} wrong, {held} limited by this machine and told so")
    sys.exit(bool(wrong))


def _some(settings: list[Setting], only: int) -> list[Setting]:
    return settings[::only]


def _said(point: Point, rate: int) -> str:
    fields = point.fields
    off = number(point, "ip_bits_per_second") / rate - 1
    passed = f" passed={fields['passed']}" if "passed" in fields else ""
    return (
        f"{off:+.1%} {fields['bound']} by {fields['limited_by']} {fields['stop_reason']}"
        f"{passed} {number(point, 'bytes') / M:.0f} MB {number(point, 'duration_seconds'):.1f} s"
    )


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        console.print(f"error: {error}")
        sys.exit(2)
