"""``xiaotong-agent probe``: run one probe once and print its points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from config.cli import ExitStatus

if TYPE_CHECKING:
    from agent.runner import Outcome


@click.command()
@click.argument("name", required=False)
@click.option("--config", "file", type=click.Path(path_type=Path), help="The agent's settings.")
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=15.0, show_default=True, help="How long to watch."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of line protocol.")
def command(name: str | None, file: Path | None, seconds: float, as_json: bool) -> None:
    """Run the probe NAME once and print its points; without NAME, list the probes there are.

    The status is 0 when it measured, 1 when it failed, 3 when there is nothing to measure here.
    """
    from agent.catalogue import names, planned  # noqa: PLC0415
    from agent.central_now import as_the_county_says  # noqa: PLC0415
    from agent.defaults import loaded_or_example, site_for_a_person  # noqa: PLC0415
    from agent.once import measure_once  # noqa: PLC0415
    from config.clock import SystemClock  # noqa: PLC0415

    if name is None:
        list_probes(names())
        return
    loaded = as_the_county_says(loaded_or_example(file))
    given = {probe.name: probe for probe in loaded.probes}
    chosen = given.get(name) or planned(name, None, str(loaded.file))
    outcome = measure_once(
        [chosen],
        site_for_a_person(loaded),
        SystemClock(),
        window_seconds=seconds,
        deadline_seconds=loaded.settings.runner.deadline,
    )[0]
    click.echo(json_of(outcome) if as_json else text_of(outcome))
    if not outcome.success:
        raise SystemExit(int(ExitStatus.NOT_MET))
    if outcome.unknown is not None:
        raise SystemExit(int(ExitStatus.UNKNOWN))


def list_probes(found: list[str]) -> None:
    """Each probe with its line of help."""
    from agent.catalogue import module_of  # noqa: PLC0415

    for name in found:
        click.echo(f"{name:<12} {module_of(name, 'probe').HELP}")


def text_of(outcome: Outcome) -> str:
    """The points as line protocol, and how the run went as comments."""
    reason = outcome.error or outcome.unknown
    went = "failed" if outcome.error else "unknown" if outcome.unknown else "success"
    last = f"# {outcome.name}: {went} in {outcome.duration_seconds:.3f} s" + (f": {reason}" if reason else "")
    return "\n".join([*outcome.lines, last])


def json_of(outcome: Outcome) -> str:
    """The points and how the run went, as one JSON document."""
    content = {
        "name": outcome.name,
        "success": outcome.success,
        "duration_seconds": outcome.duration_seconds,
        "unknown": outcome.unknown,
        "error": outcome.error,
        "points": outcome.points,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
