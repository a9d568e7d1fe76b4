"""The county's configuration over the local file; what comes out is checked as the file itself is. Pure."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from agent.catalogue import PROBES
from agent.central_addresses import refused
from agent.settings import LoadedSettings, ScheduleSettings, checked_settings
from config.central import SECRETS, CentralError, Document, check, merged, secrets_in
from config.school import Line, School
from config.settings import SettingsError, convert

if TYPE_CHECKING:
    from config.plan import Plan

NAME = "the county's configuration"

S = TypeVar("S", bound=msgspec.Struct)


class Planned(NamedTuple):
    """Settings to run with, and the files that their secrets are to stand in."""

    loaded: LoadedSettings
    secrets: Mapping[Path, str]


def over_local(
    local: LoadedSettings, document: Document, secrets_directory: Path, package: str = PROBES
) -> Planned:
    """The local file with the county's document over it. Raises SettingsError, one line.

    The school: a key that the county declares goes before the local one, lines by their id. ``plan`` and each
    key of ``schedule`` and of each probe likewise; a probe that is ``false`` is not run.
    """
    try:
        wanted = check({key: value for key, value in document.items() if key != "school"})
    except CentralError as error:
        raise SettingsError(f"{NAME}: {error}") from None
    settings = local.settings
    for reason in refused(wanted.get("probes", {}), settings.central.addresses, settings.probes):
        raise SettingsError(f"{NAME}: {reason}")
    wanted, secrets = _secrets_in_files(wanted, secrets_directory)
    probes = merged({"probes": settings.probes}, wanted).get("probes", {})
    plan = wanted.get("plan")
    whole = msgspec.structs.replace(
        settings,
        school=_school(settings.school, document.get("school", {})),
        schedule=_given(settings.schedule, ScheduleSettings, wanted.get("schedule", {}), "schedule"),
        probes={name: value for name, value in probes.items() if value is not False},
        **({} if plan is None else {"plan": plan if isinstance(plan, str) else None, "plan_file": None}),
    )
    try:
        loaded = checked_settings(local.file, whole, package, plan=_plan(plan))
    except SettingsError as error:
        raise SettingsError(str(error).replace(str(local.file), NAME, 1)) from None
    return Planned(loaded, secrets)


def _given(held: S, shape: type[S], given: Mapping[str, Any], below: str) -> S:
    """``held`` with those keys that are given."""
    read = convert(dict(given), shape, NAME, below=below)
    return msgspec.structs.replace(held, **{key: getattr(read, key) for key in given})


def _school(held: School, given: object) -> School:
    if not isinstance(given, dict):
        raise SettingsError(f"{NAME}: key school: allowed are keys with values")
    whole = convert({"id": held.id, **given}, School, NAME, below="school")
    changed = {key: getattr(whole, key) for key in given}
    if "lines" in given:
        local = {line.id: line for line in held.lines}
        pairs = zip(whole.lines, given["lines"], strict=True)
        changed["lines"] = tuple(_line(local.get(line.id), line, keys) for line, keys in pairs)
    return msgspec.structs.replace(held, **changed)


def _line(held: Line | None, line: Line, given: Mapping[str, Any]) -> Line:
    """The county seldom knows the name of the port: what it does not declare stays as the local file says."""
    if held is None:
        return line
    return msgspec.structs.replace(held, **{key: getattr(line, key) for key in given})


def _plan(wanted: object) -> Plan | None:
    """The plan that was sent whole; None for a shipped one, which must be there."""
    from config.plan import PLANS_DIRECTORY, Plan, problems_of  # noqa: PLC0415

    if wanted is None:
        return None
    if isinstance(wanted, str):
        shipped = sorted(file.stem for file in PLANS_DIRECTORY.glob("*.yaml"))
        if wanted not in shipped:
            raise SettingsError(f"{NAME}: key plan: is no shipped plan; allowed: {', '.join(shipped)}")
        return None
    plan = convert(wanted, Plan, NAME, below="plan")
    for problem in problems_of(plan):
        raise SettingsError(f"{NAME}: plan: {problem}")
    return plan


def _secrets_in_files(document: Document, directory: Path) -> tuple[Document, Mapping[Path, str]]:
    """The document with each secret's file in its place, and what those files hold."""
    result = copy.deepcopy(document)
    files: dict[Path, str] = {}
    for device, key in list(secrets_in(result)):
        secret = device.pop(key)
        name = hashlib.sha256(f"{device.get('id')}\0{key}\0{secret}".encode()).hexdigest()[:32]
        files[directory / name] = secret
        device[SECRETS[key]] = str(directory / name)
    return result, files
