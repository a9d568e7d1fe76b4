"""``python -m tests.lab``: run scenarios, calibrate the lab, remove what was left behind."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType

import click
from rich.console import Console

from config.settings import SettingsError
from tests.lab import calibrate as calibration
from tests.lab import demo as demonstration
from tests.lab import jobs as side_by_side
from tests.lab import scenario as scenarios
from tests.lab import truth
from tests.lab.netns import Lab, LabError, require_namespaces, sweep
from tests.lab.play import Play, Played
from tests.lab.scenario import Scenario

SETUP_FAILED = 2
JOBS = 3
console = Console()


@click.group()
def main() -> None:
    """A county in network namespaces, where the truth is known."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, _end)


@main.command("run")
@click.argument("names", nargs=-1, metavar="[SCENARIO …]")
@click.option("--keep", is_flag=True, help="Leave the network standing after the last scenario until Ctrl-C.")
@click.option("--jobs", default=JOBS, show_default=True, type=click.IntRange(1, 16),
              help="So many side by side; those that test capacity run alone, at the end.")  # fmt: skip
def run(names: tuple[str, ...], keep: bool, jobs: int) -> None:
    """Run the scenarios (all when none is named) and print the truth table."""
    require_namespaces()
    cases = {name: scenarios.load(path) for name, path in scenarios.find(list(names)).items()}
    kept = cases.popitem() if keep else None
    played = []
    for each in side_by_side.results(cases, jobs):
        played.append(each)
        _tell(each)
    if kept is not None:
        played.append(_play_and_keep(*kept))
    _finish(played)


@main.command("list")
def list_() -> None:
    """Name the scenarios."""
    for name, path in scenarios.find([]).items():
        console.print(f"{name:32} {scenarios.load(path).about}")


@main.command("calibrate")
def calibrate() -> None:
    """Check the lab's rates, delays and losses against iperf3 and fping."""
    with Lab() as lab:
        rows = calibration.calibrate(lab, seconds=3)
    calibration.show(rows)
    if not all(row.right for row in rows):
        sys.exit(1)


@main.command("demo")
@click.option("--port", default=8080, show_default=True, help="Port of the page on this host's loopback.")
@click.option("--recorded", is_flag=True, help="Show the recorded county, even as root.")
@click.option("--lab", help="Name the live county's namespaces so; else by chance.")
def demo(port: int, recorded: bool, lab: str | None) -> None:
    """Show a county of six schools with different troubles, on its page."""
    try:
        demonstration.run(port, console, live=False if recorded else None, lab=lab)
    except KeyboardInterrupt:
        console.print("taken down")
    except OSError as error:
        raise LabError(f"port {port} (PORT in the environment): {error.strerror}") from None


@main.command("record")
@click.option("--seconds", default=300.0, show_default=True, help="How long the county is run.")
def record(seconds: float) -> None:
    """Run the demo's county and keep what its collector stored, for those who have no root."""
    demonstration.record(seconds, console)


@main.command("down")
def down() -> None:
    """Remove what labs left behind whose process is gone."""
    require_namespaces()
    console.print(f"removed: {', '.join(sweep()) or 'nothing was left behind'}")


def _play_and_keep(name: str, scenario: Scenario) -> Played:
    try:
        with Lab() as lab:
            scene = Play(lab, name, scenario)
            played = scene.run()
            _tell(played)
            _keep(scene)
    except LabError as error:
        played = side_by_side.cannot_stand(name, error)
        _tell(played)
    return played


def _tell(played: Played) -> None:
    state = "[green]holds[/green]" if played.holds else "[red]does not hold[/red]"
    console.print(f"{played.name}: {state} after {played.seconds:.0f} s, {played.test_bytes} bytes of tests")
    for outcome in played.outcomes:
        if outcome.mark != "right":
            said = outcome.expectation
            wanted = f"{said.school} {said.subject} must be {said.word} by {said.by:g} s"
            console.print(f"  {outcome.mark}: {wanted}, said {outcome.last}")
    for problem in played.problems:
        console.print(f"  {problem}")
    if not played.holds:
        console.print(played.logs, markup=False)


def _keep(scene: Play) -> None:
    folder = scene.county.lab.directory
    console.print(f"standing; settings and logs are in {folder}. Look around with:")
    for school in scene.county.schools.values():
        console.print(f"  ip netns exec {school.gateway.name} sh")
    console.print(
        f"  ip netns exec {scene.county.centre.name} curl -s http://127.0.0.1:8080/\nCtrl-C takes it down."
    )
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("taking it down")


def _finish(played: list[Played]) -> None:
    outcomes = [outcome for each in played for outcome in each.outcomes]
    console.print(truth.table(outcomes))
    wrong = sum(outcome.mark == "wrong" for outcome in outcomes)
    holding = sum(each.holds for each in played)
    console.print(f"{holding} of {len(played)} scenarios hold; wrong verdicts: {wrong}")
    if holding < len(played):
        sys.exit(1)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except (LabError, SettingsError) as error:
        console.print(f"error: {error}")
        sys.exit(SETUP_FAILED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
