"""``xiaotong-agent enrol``: exchange the county's code for this agent's token, and write its settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from config.cli import ExitStatus, fail

if TYPE_CHECKING:
    from agent.enrolment import Enrolled
    from agent.settings import Secret


SETTINGS_MODE = 0o644
"""Settings and certificates are no secrets; who runs the agent need not be who enrols it."""


class Given(NamedTuple):
    """What was typed, checked."""

    url: str
    code: str
    pin: str | None
    ca_file: Path | None
    file: Path


@click.command()
@click.option("--collector", "url", required=True, metavar="URL", help="Address of the county's collector.")
@click.option(
    "--code", default="-", metavar="CODE", help="The county's one-time code; without it, it is asked for."
)
@click.option("--pin", metavar="sha256:…", help="Pin of the county's certificate, as printed with the code.")
@click.option(
    "--ca-file", type=click.Path(path_type=Path), help="The county's certificate, instead of a pin."
)
@click.option(
    "--config", "file", type=click.Path(path_type=Path), default=Path("/etc/xiaotong/agent/agent.yaml"),
    show_default=True, help="Settings to write, or to change where they exist.",
)  # fmt: skip
@click.option("--in-the-clear", is_flag=True, help="Allow http:// over a network.")
@click.option("--dry-run", is_flag=True, help="Check everything, use no code, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    *, url: str, code: str, pin: str | None, ca_file: Path | None, file: Path,
    in_the_clear: bool, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Enrol this agent: CODE and URL come from the county («xiaotong-collector agents invite»).

    The token goes into a new file of mode 0600 beside the settings and nowhere else.
    """
    from agent.enrolment import NotEnrolled  # noqa: PLC0415

    given = _checked(url, code, pin, ca_file, file, in_the_clear=in_the_clear)
    try:
        said = _tried(given) if dry_run else _done(given)
    except NotEnrolled as error:
        fail(str(error), ExitStatus.NOT_MET)
    except OSError as error:
        fail(f"{error.filename or given.file}: cannot be written: {error.strerror}")
    _say(said, as_json=as_json)


def _checked(
    url: str, code: str, pin: str | None, ca_file: Path | None, file: Path, *, in_the_clear: bool
) -> Given:
    from agent.enrolment import refuse_in_the_clear  # noqa: PLC0415
    from agent.pins import NoPin, read_pin  # noqa: PLC0415
    from agent.settings import CollectorSettings, collector_problems  # noqa: PLC0415

    url = url.rstrip("/")
    for key, problem in collector_problems(CollectorSettings(url, ""), None):
        fail(f"--{key.removesuffix('.url')} {url}: {problem}")
    refuse_in_the_clear(url, allowed=in_the_clear)
    if (pin or ca_file) and not url.startswith("https://"):
        fail("--pin and --ca-file are for https:// addresses")
    if pin and ca_file:
        fail("--pin and --ca-file: allowed is one of the two")
    if ca_file is not None and not ca_file.is_file():
        fail(f"--ca-file {ca_file}: no such file")
    try:
        wanted = read_pin(pin) if pin else None
    except NoPin as error:
        fail(f"--pin {pin}: {error}")
    if code == "-":
        code = click.prompt("code", err=True) if sys.stdin.isatty() else sys.stdin.readline()
    return Given(url, code.strip(), wanted, ca_file, file)


def _tried(given: Given) -> dict[str, Any]:
    from agent.enrolment import authority_file, pinned_authority, reached  # noqa: PLC0415

    authority = pinned_authority(given.url, given.pin) if given.pin else None
    with authority_file(authority, given.ca_file) as trusted:
        reached(given.url, trusted)
    what = "changed" if given.file.exists() else "written"
    _new_text(given, "school-id", ca=bool(authority or given.ca_file))
    return {"dry_run": True, "collector": given.url, "settings": str(given.file), "would_be": what}


def _done(given: Given) -> dict[str, Any]:
    from agent.credentials import new_token  # noqa: PLC0415
    from agent.disk import write_private, write_whole  # noqa: PLC0415
    from agent.enrolment import authority_file, exchange, pinned_authority  # noqa: PLC0415
    from agent.enrolment_file import CA_FILE, TOKEN_FILE  # noqa: PLC0415
    from agent.settings import read_token  # noqa: PLC0415

    _new_text(given, "school-id", ca=bool(given.pin or given.ca_file))
    authority = pinned_authority(given.url, given.pin) if given.pin else None
    if given.ca_file is not None:
        authority = given.ca_file.read_text(encoding="utf-8")
    folder = given.file.parent
    folder.mkdir(parents=True, exist_ok=True)
    token_file = folder / TOKEN_FILE
    pending = token_file.with_name(f"{TOKEN_FILE}.enrolling")
    # on disk before the code is used: a token whose answer was lost is made good by running this again
    token: Secret = read_token(pending, "enrol") if pending.exists() else new_token()
    write_private(pending, token.encode("ascii") + b"\n")
    with authority_file(authority, None) as trusted:
        enrolled = exchange(
            given.url, given.code, token, trusted,
            lambda seconds: click.echo(f"the collector asks to wait {seconds:g} s", err=True),
        )  # fmt: skip
    if authority is not None:
        write_whole(folder / CA_FILE, authority.encode("utf-8"), SETTINGS_MODE)
    text = _new_text(given, enrolled.school, ca=authority is not None, keys=enrolled.package_keys)
    write_whole(given.file, text.encode("utf-8"), SETTINGS_MODE)
    pending.replace(token_file)
    return _told(given, enrolled, token_file)


def _new_text(given: Given, school: str, *, ca: bool, keys: tuple[str, ...] = ()) -> str:
    """The settings as they will stand. Raises SettingsError before the code is used."""
    from agent.enrolment_file import CA_FILE, Place, changed, new_file  # noqa: PLC0415

    place = Place(given.url, school, ca_file=CA_FILE if ca else None, package_keys=keys)
    if not given.file.exists():
        return new_file(place, _state_directory(given.file))
    return changed(given.file.read_text(encoding="utf-8"), place, str(given.file))


def _state_directory(file: Path) -> str:
    """Beside the settings; those of the system's own directory keep their state where the system does."""
    return "/var/lib/xiaotong-agent" if file.parent == Path("/etc/xiaotong/agent") else "state"


def _told(given: Given, enrolled: Enrolled, token_file: Path) -> dict[str, Any]:
    return {
        "agent": enrolled.agent,
        "school": enrolled.school,
        "collector": given.url,
        "settings": str(given.file),
        "token_file": str(token_file),
    }


def _say(said: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        import msgspec  # noqa: PLC0415

        click.echo(msgspec.json.encode(said))
    elif said.get("dry_run"):
        click.echo(
            f"{said['collector']} answers; {said['settings']} would be {said['would_be']}; no code was used"
        )
    else:
        click.echo(
            f"enrolled as {said['agent']} of school {said['school']}; settings in {said['settings']}\n"
            f"now: xiaotong-agent run --config {said['settings']}\n"
            "(one that runs takes the new token by itself; restart it if the collector's address changed)"
        )
