"""``xiaotong-agent capacity``: test what the line carries now, with a live bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from config.cli import ExitStatus, fail
from config.units import BitsPerSecond, format_rate, parse_rate

if TYPE_CHECKING:
    from agent.capacity.order import Wanted
    from agent.capacity.outcome import Progress
    from agent.probe import Site
    from agent.settings import LoadedSettings
    from config.points import Point


RECORDED = "recorded: it counts as evidence of this school"
NOT_RECORDED = "not recorded; with --record it counts as evidence of this school"


class _Rate(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A rate with its unit."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> BitsPerSecond:
        try:
            return parse_rate(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="The agent's settings.")
@click.option("--verify", "rate", type=_Rate(), help="Ask only whether the line reaches this nominal rate.")
@click.option("--most", type=_Rate(), help="The most that a search goes to.")
@click.option("--server", help="Id of the responder; default: the settings', else the collector's own.")
@click.option(
    "--direction",
    "directions",
    type=click.Choice(["down", "up"]),
    multiple=True,
    help="Only this direction; may be given twice.",
)
@click.option(
    "--family",
    "families",
    type=click.Choice(["ipv4", "ipv6"]),
    multiple=True,
    help="Only this family; may be given twice.",
)
@click.option("--line", "lines", multiple=True, help="Id of a line to bind the test to.")
@click.option("--force", is_flag=True, help="In lessons and beyond the month's bytes too.")
@click.option("--record", "recorded", is_flag=True, help="Give the result to the collector as evidence.")
@click.option("--json", "as_json", is_flag=True, help="Print the points as JSON.")
def command(file: Path | None, as_json: bool, force: bool, recorded: bool, **given: Any) -> None:
    """Test what the line carries, down and up, IPv4 and IPv6, against the collector's responder.

    The status is 0 when it measured and every verify run passed, 1 when one failed or a test broke,
    3 when there is nothing to measure or a verify run gave no answer. The result is shown; it counts as
    evidence with --record, or when the county asks: «xiaotong-collector capacity now SCHOOL».
    """
    from agent.capacity.order import Refused  # noqa: PLC0415
    from agent.central_now import as_the_county_says  # noqa: PLC0415
    from agent.defaults import loaded_or_example, site_for_a_person  # noqa: PLC0415
    from agent.probe import NoData, ProbeFailed  # noqa: PLC0415
    from agent.probes.capacity import Capacity  # noqa: PLC0415

    loaded = as_the_county_says(loaded_or_example(file))
    with live_bar(shown=not as_json) as show:
        settings, site = settings_of(loaded, **given), site_for_a_person(loaded)
        probe = Capacity(settings, site, show, now=True, force=force)
        try:
            points = probe.measure(_a_run())
        except Refused as refusal:
            fail(str(refusal), ExitStatus.USAGE)
        except NoData as reason:
            fail(str(reason), ExitStatus.UNKNOWN)
        except ProbeFailed as error:
            fail(str(error), ExitStatus.NOT_MET)
    click.echo(msgspec.json.encode(points).decode() if as_json else "\n".join(map(text_of, points)))
    if recorded:
        _record(site, points)
    if not as_json:
        click.echo(RECORDED if recorded else NOT_RECORDED, err=True)
    raise SystemExit(int(status_of(points)))


def _record(site: Site, points: list[Point]) -> None:
    from agent.capacity.recording import record  # noqa: PLC0415
    from agent.probe import ProbeFailed  # noqa: PLC0415

    try:
        record(site, points)
    except ProbeFailed as error:
        fail(str(error), ExitStatus.NOT_MET)


def settings_of(
    loaded: LoadedSettings, *, rate: BitsPerSecond | None, most: BitsPerSecond | None, **given: Any
) -> Any:
    """The file's settings of the probe, overruled by what the command line gives."""
    from agent.catalogue import planned  # noqa: PLC0415

    named = {probe.name: probe for probe in loaded.probes}
    settings = (named.get("capacity") or planned("capacity", None, str(loaded.file))).settings
    changes = {
        "mode": "verify" if rate is not None else "search",
        "rate": rate if rate is not None else settings.rate,
        "max_rate": most if most is not None else settings.max_rate,
        "responder": given["server"] or settings.responder,
        "directions": given["directions"] or settings.directions,
        "families": given["families"] or settings.families,
        "lines": given["lines"] or settings.lines,
    }
    return msgspec.structs.replace(settings, **changes)


def status_of(points: list[Point]) -> ExitStatus:
    """Not met when a verify run failed for the line's sake, unknown when one gave no bound."""
    if any(point.fields.get("passed") is False and point.fields["bound"] == "upper" for point in points):
        return ExitStatus.NOT_MET
    silent = [
        point for point in points if point.fields["bound"] == "none" or point.fields.get("passed") is False
    ]
    return ExitStatus.UNKNOWN if silent else ExitStatus.MET


def text_of(point: Point) -> str:
    """One test in one line."""
    fields = point.fields
    what = f"{point.tags['direction']:<4} {point.tags['family']} {point.tags.get('line', '-')}"
    if "ip_bits_per_second" not in fields:
        return f"{what}: no result: {fields['note']}"
    signs = {"equal": "=", "lower": "≥", "upper": "<", "none": "?"}
    sign = signs[str(fields["bound"])]
    carried, goodput = _rate(fields["ip_bits_per_second"]), _rate(fields["goodput_bits_per_second"])
    rate = f"{sign} {carried} (IP), {goodput} goodput"
    if "asked_bits_per_second" in fields:
        answer = {True: "reached", False: "not reached", None: "no answer"}[_flag(fields.get("passed"))]
        rate = f"{_rate(fields['asked_bits_per_second'])} {answer}: {carried} (IP)"
    told = [f"stopped: {fields['stop_reason']}", f"limited by: {fields['limited_by']}"]
    if "latency_grade" in fields:
        told.append(f"latency under load: {fields['latency_grade']}")
    told += [str(fields["congestion_control"]), f"{fields['bytes']} bytes"]
    note = f" ({fields['note']})" if "note" in fields else ""
    return f"{what}: {rate}; {', '.join(told)}{note}"


def _rate(value: object) -> str:
    return format_rate(float(str(value)))


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


@contextmanager
def live_bar(*, shown: bool) -> Iterator[Callable[[Wanted, Progress], None] | None]:
    """A bar on standard error that shows the rate now, the estimate and the bytes; nothing off a terminal."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, TextColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0, told="")

        def show(wanted: Wanted, now: Progress) -> None:
            settled = f"  estimate {format_rate(now.estimate)}" if now.estimate else ""
            bar.update(
                task,
                description=f"{wanted.direction} {wanted.family}",
                completed=now.seconds,
                total=now.of_seconds,
                told=f"{format_rate(now.bits_per_second)}{settled}  {now.bytes / 1e6:.1f} MB",
            )

        yield show


def _a_run() -> Any:
    import threading  # noqa: PLC0415

    from agent.probe import Run  # noqa: PLC0415
    from config.clock import SystemClock  # noqa: PLC0415

    return Run(clock=SystemClock(), stop=threading.Event(), deadline_seconds=600.0, window_seconds=1.0)
