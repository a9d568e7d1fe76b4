"""``xiaotong-collector agents upgrade``: another version for the county's agents, some of them first."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from collector.access import audit
from collector.enrolment.states import States
from collector.opening import config_option, opened_registry
from collector.packages.api import NewUpgrade, ordered, start, status_of
from collector.packages.rollouts import Follower, Rollout, Rollouts
from collector.packages.store import PackageStore
from config.cli import fail
from config.units import parse_duration

SHOWN = 20
"""So many agents of a list are printed by name."""


@click.command("upgrade", help="Have agents run VERSION of the store («packages list»), some of them first.")
@click.argument("version", required=False)
@click.option("--schools", metavar="A,B", default="", help="The agents of these schools go first.")
@click.option("--share", metavar="5%", default="0%", help="And so many of the others, by lot.")
@click.option("--all", "everybody", is_flag=True, help="Everybody at once instead.")
@click.option("--after", metavar="1d", help="The rest follow after so long; default: packages.settle.")
@click.option("--hold", is_flag=True, help="The rest wait for --continue.")
@click.option("--now", "urgent", is_flag=True, help="At once, in lessons and muted times too.")
@click.option("--status", is_flag=True, help="How the order fares: of every agent that is not done, why.")
@click.option("--continue", "go_on", is_flag=True, help="Let the rest follow now.")
@click.option("--stop", is_flag=True, help="No further agent follows; those that did go on.")
@click.option("--back", is_flag=True, help="Those that did leave the version for the one before.")
@click.option("--dry-run", is_flag=True, help="Only say who would go first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def upgrade(
    *, version: str | None, schools: str, share: str, everybody: bool, after: str | None, hold: bool,
    urgent: bool, status: bool, go_on: bool, stop: bool, back: bool, dry_run: bool, as_json: bool,
    config_file: Path,
) -> None:  # fmt: skip
    """The rest follow when all that went first run it well; one that falls back stops the order."""
    if sum((version is not None, status, go_on, stop, back)) != 1:
        fail("allowed: one of VERSION, --status, --continue, --stop, --back")
    if after is not None and hold:
        fail("allowed: --after or --hold")
    wanted = NewUpgrade(
        version or "", [each for each in schools.split(",") if each], _share(share), everybody,
        None if after is None else _seconds(after), hold, urgent, dry_run,
    )  # fmt: skip
    by, now = audit.command_line(), datetime.now(UTC)
    with opened_registry(config_file) as (settings, registry):
        rollouts = Rollouts(registry, States(registry), settings.packages)
        if status:
            _print_status(rollouts, as_json=as_json)
            return
        if version is not None:
            settle = float(settings.packages.settle)
            done = start(rollouts, PackageStore(settings), wanted, by, now=now, settle_seconds=settle)
        elif back:
            done = rollouts.back(by, now, urgent=urgent, dry_run=dry_run)
        else:
            done = rollouts.stop(by, now) if stop else rollouts.go_on(by, now)
    _print_order(done, as_json=as_json)


def _share(text: str) -> float:
    number = text.removesuffix("%")
    if not text.endswith("%") or not number.replace(".", "", 1).isdecimal() or float(number) > 100:
        fail(f"--share {text}: allowed is 0% to 100%")
    return float(number) / 100


def _seconds(text: str) -> float:
    try:
        return float(parse_duration(text))
    except ValueError as error:
        fail(f"--after {text}: {error}")


def _print_order(rollout: Rollout, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(ordered(rollout))).decode("utf-8"))
        return
    click.echo(_line(rollout))
    if rollout.first:
        more = f" and {len(rollout.first) - SHOWN} more" if len(rollout.first) > SHOWN else ""
        click.echo(f"first: {', '.join(sorted(rollout.first)[:SHOWN])}{more}")


def _print_status(rollouts: Rollouts, *, as_json: bool) -> None:
    told, rollout, followers = status_of(rollouts), rollouts.current(), rollouts.followers()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([told, followers])).decode("utf-8"))
        return
    click.echo("no upgrade was ordered yet" if rollout is None else _line(rollout))
    click.echo(", ".join(f"{state}: {number}" for state, number in told.agents.items()))
    for each in followers:
        if each.state not in ("done", "later", ""):
            click.echo(_told_of(each))


def _line(rollout: Rollout) -> str:
    words = {
        "first": "goes to those that are first", "rest": "goes to all", "stopped": "is stopped",
        "back": "is left by those that run it",
    }[rollout.state]  # fmt: skip
    return f"{rollout.version} {words}" + (f": {rollout.reason}" if rollout.reason else "")


def _told_of(agent: Follower) -> str:
    return f"{agent.id}: {agent.state}, runs {agent.version or 'unknown'}" + (
        f": {agent.reason}" if agent.reason else ""
    )
