"""``xiaotong-agent uptime``: does this school's network work now, by each line and family?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from config.cli import ExitStatus

if TYPE_CHECKING:
    from agent.settings import LoadedSettings
    from config.points import Point
    from config.uptime import Heard, Minute
    from config.words import Language


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="The agent's settings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=10.0, show_default=True, help="How long to ask."
)
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of the table; default: the locale's.")
def command(file: Path | None, as_json: bool, seconds: float, lang: str | None) -> None:
    """Ask the targets of the ping probe and judge as the collector judges a minute.

    The status is 0 when it works (also degraded), 1 when it is down, 3 when nothing beyond the line could be
    asked. Needs no collector.
    """
    from agent.defaults import loaded_or_example  # noqa: PLC0415
    from agent.heartbeat import host_uptime_seconds  # noqa: PLC0415
    from config.uptime import WORKS, State, judge_minute  # noqa: PLC0415

    loaded = loaded_or_example(file)
    points, reason = asked(loaded, seconds)
    heard = [heard_of(point) for point in points]
    minute = judge_minute(heard, [line.id for line in loaded.settings.school.lines])
    if as_json:
        click.echo(json_of(loaded, minute, points, reason))
    else:
        show(minute, points, reason, host_uptime_seconds(loaded.site().proc), lang)
    if minute.school is State.UNKNOWN:
        raise SystemExit(int(ExitStatus.UNKNOWN))
    raise SystemExit(int(ExitStatus.MET if minute.school in WORKS else ExitStatus.NOT_MET))


def asked(loaded: LoadedSettings, seconds: float) -> tuple[Sequence[Point], str | None]:
    """The points of one window of the ping probe, and why there are none."""
    from agent.catalogue import planned  # noqa: PLC0415
    from agent.defaults import site_for_a_person  # noqa: PLC0415
    from agent.once import measure_once  # noqa: PLC0415
    from config.clock import SystemClock  # noqa: PLC0415

    given = {probe.name: probe for probe in loaded.probes}
    probe = given.get("ping") or planned("ping", None, str(loaded.file))
    outcome = measure_once(
        [probe],
        site_for_a_person(loaded),
        SystemClock(),
        window_seconds=seconds,
        deadline_seconds=loaded.settings.runner.deadline,
    )[0]
    return outcome.points, outcome.error or outcome.unknown


def heard_of(point: Point) -> Heard:
    """What one target answered."""
    from config.uptime import Heard  # noqa: PLC0415

    fields: dict[str, Any] = dict(point.fields)
    tags = point.tags
    return Heard(
        tags["target"],
        tags["family"],
        fields["place"],
        fields.get("sent", 0),
        fields.get("lost", 0),
        tags.get("line"),
    )


def json_of(loaded: LoadedSettings, minute: Minute, points: Sequence[Point], reason: str | None) -> str:
    """The whole answer as one JSON document."""
    content = {
        "school": loaded.settings.school.id,
        "state": minute.school,
        "lines": minute.lines,
        "families": minute.families,
        "one_line_only": minute.one_line_only,
        "unknown": reason,
        "targets": [{**point.tags, **point.fields} for point in points],
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def show(
    minute: Minute, points: Sequence[Point], reason: str | None, host_seconds: float, lang: str | None
) -> None:
    """The states and the targets, for people."""
    from rich.console import Console  # noqa: PLC0415

    from agent.commands.check import language_of_option  # noqa: PLC0415
    from config.present import folding  # noqa: PLC0415
    from config.words import message, translate  # noqa: PLC0415

    language, console = language_of_option(lang), Console()
    console.print(
        f"{translate(message('School as a whole'), language)}: {_word(minute.school.value, language)}"
    )
    for name, state in [*minute.lines.items(), *minute.families.items()]:
        console.print(f"  {name}: {_word(state.value, language)}", markup=False)
    console.print(folding(_table(points, language)))
    console.print(f"{translate(message('Host up for'), language)} {host_seconds / 3600:.1f} h")
    if reason:
        console.print(f"? {reason}", markup=False, highlight=False)


def _word(state: str, language: Language) -> str:
    from config.words import message, translate  # noqa: PLC0415

    words = {
        "up": message("working"),
        "degraded": message("degraded"),
        "down": message("interrupted"),
        "unknown": message("unknown"),
    }
    return translate(words[state], language)


def _table(points: Sequence[Point], language: Language) -> Any:
    from rich.table import Table  # noqa: PLC0415

    from config.words import message, translate  # noqa: PLC0415

    headings = (
        message("Target"),
        message("Line"),
        message("Family"),
        message("Answered"),
        message("Median round trip"),
    )
    places = {
        "next_hop": message("next hop"),
        "centre": message("county's centre"),
        "outside": message("outside"),
    }
    made = Table(*(translate(heading, language) for heading in headings))
    for point in points:
        fields: dict[str, Any] = dict(point.fields)
        sent, median = fields.get("sent", 0), fields.get("rtt_median_seconds")
        made.add_row(
            f"{point.tags['target']} ({translate(places[fields['place']], language)})",
            point.tags.get("line", ""),
            point.tags["family"],
            f"{sent - fields.get('lost', 0)}/{sent}",
            "–" if median is None else f"{1000 * median:.2f} ms",
        )
    return made
