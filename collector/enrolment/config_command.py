"""``xiaotong-collector agents config``: what the county, a school or an agent is to measure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
import yaml

from collector.access import audit
from collector.enrolment.configurations import Configurations, Scope, Version
from collector.enrolment.room import plan_to_send, seal_of
from collector.enrolment.sealing import masked
from collector.opening import config_option, opened_registry
from collector.registry import Registry
from collector.settings import CollectorSettings
from config.central import CentralError, Document, check
from config.cli import fail
from config.settings import load


@click.command(
    "config", help="What agents measure: of SCHOOL, of one agent, or (with neither) of the county."
)
@click.argument("school", required=False)
@click.option("--agent", help="Only this agent; its document goes before the school's and the county's.")
@click.option(
    "--set", "file", type=click.Path(path_type=Path), help="Set from this YAML file; *** keeps a secret."
)
@click.option("--show", is_flag=True, help="Print what holds (the default), secrets masked.")
@click.option("--effective", is_flag=True, help="With --agent: what the agent is told in all.")
@click.option("--history", is_flag=True, help="Every state there was, by number.")
@click.option("--undo", is_flag=True, help="Go back to the state before; again: forth.")
@click.option("--to", "number", type=click.IntRange(1), help="With --undo: go back to this number.")
@click.option("--reseal", is_flag=True, help="Seal all secrets by the first key of the key file.")
@click.option("--dry-run", is_flag=True, help="With --set and --undo: only say what would hold.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def config(
    *, school: str | None, agent: str | None, file: Path | None, show: bool, effective: bool, history: bool,
    undo: bool, number: int | None, reseal: bool, dry_run: bool, as_json: bool, config_file: Path,
) -> None:  # fmt: skip
    """Agents follow within seconds, or say in «agents list» why they do not."""
    if sum(map(bool, (file, show, effective, history, undo, reseal))) > 1 or (number and not undo):
        fail("allowed: one of --set, --show, --effective, --history, --undo (with --to), --reseal")
    scope = _scope(school, agent)
    wanted = _document(file) if file is not None else None
    with opened_registry(config_file) as (settings, registry):
        book = Configurations(registry, seal_of(settings))
        if reseal:
            click.echo(f"{book.reseal()} documents are sealed anew")
            return
        if history:
            _print([_told(scope, each) for each in book.history(scope)], as_json=as_json)
            return
        if effective:
            _print(_effective(book, registry, settings, agent), as_json=as_json)
            return
        changes = wanted is not None or undo
        found = _changed(book, scope, wanted, number, dry_run=dry_run) if changes else book.current(scope)
    _print(_told(scope, found) if found else {"for": str(scope), "document": {}}, as_json=as_json)


def _scope(school: str | None, agent: str | None) -> Scope:
    if school is not None and agent is not None:
        fail("allowed: a SCHOOL or --agent, not both")
    if agent is not None:
        return Scope("agent", agent)
    return Scope("school", school) if school is not None else Scope("county")


def _document(file: Path) -> Document:
    """What a file sets; dates become text, as agents read them."""
    content = load(file, dict[str, Any])
    try:
        return check(msgspec.json.decode(msgspec.json.encode(content)))
    except CentralError as error:
        fail(f"{file}: {error}")


def _changed(
    book: Configurations, scope: Scope, wanted: Document | None, number: int | None, *, dry_run: bool
) -> Version:
    by = audit.command_line()
    if wanted is not None:
        return book.put(scope, wanted, by, dry_run=dry_run)
    return book.undo(scope, by, number, dry_run=dry_run)


def _effective(
    book: Configurations, registry: Registry, settings: CollectorSettings, agent_id: str | None
) -> dict[str, Any]:
    found = next((each for each in registry.agents() if each.id == agent_id), None)
    if found is None:
        fail(f"--effective: needs --agent with an agent that is known, not {agent_id}")
    school = registry.schools()[found.school_id]
    told = book.effective(found.id, school, plan_to_send(settings))
    return {"for": f"agent {found.id}", "revision": told.revision, "document": masked(told.document)}


def _told(scope: Scope, version: Version) -> dict[str, Any]:
    return {
        "for": str(scope),
        "number": version.number,
        "set_at": version.set_at.isoformat(timespec="seconds"),
        "set_by": version.set_by,
        "document": masked(version.document),
    }


def _print(content: object, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(content)).decode("utf-8"))
    else:
        click.echo(yaml.safe_dump(content, allow_unicode=True, sort_keys=False).rstrip())
