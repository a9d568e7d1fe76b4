"""Exchanges a one-time code for a token. The token is made here; the collector only hears its hash.

With a pin, the county's certificate is fetched first and must have that key; the code is then sent over a
connection that this very certificate vouches for, and to no other.
"""

from __future__ import annotations

import ipaddress
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from agent.credentials import digest_of
from agent.link import Answer, Link, LinkError
from agent.pins import NoPin, pin_of
from agent.settings import Secret
from config.packages import public_key
from config.settings import SettingsError

CA_PATH, ENROL_PATH, PING_PATH = "/api/v1/enrol/ca", "/api/v1/enrol", "/ping"
TIMEOUT_SECONDS = 15.0
MOST_WAIT_SECONDS = 120.0
"""So long in all a collector that asks to wait is waited for."""


class NotEnrolled(Exception):
    """Why not, in one line, without the code."""


class Enrolled(msgspec.Struct, frozen=True):
    """Who this agent is from now on."""

    agent: str
    school: str
    package_keys: tuple[str, ...] = ()
    """Keys that packages of the agent may be signed by; none where the county has no store of them."""


class _Reason(msgspec.Struct, frozen=True):
    reason: str = ""


def refuse_in_the_clear(url: str, *, allowed: bool) -> None:
    """Raises SettingsError for an address over which others could read tokens."""
    parts = urlsplit(url)
    if parts.scheme == "https" or allowed or is_this_host(parts.hostname or ""):
        return
    raise SettingsError(
        f"--collector {url}: is not https://, so others on the way could read the token; "
        "allowed with --in-the-clear"
    )


def is_this_host(host: str) -> bool:
    """True for loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def pinned_authority(url: str, pin: str) -> str:
    """The county's certificate in PEM, whose key the pin names. Raises NotEnrolled.

    It is fetched from whoever answers there: what it says is believed for its hash alone.
    """
    link = Link(url, None, TIMEOUT_SECONDS, verify=False)
    try:
        answer = link.get(CA_PATH, {})
    except LinkError as error:
        raise NotEnrolled(f"{url} cannot be asked for its certificate: {error}") from None
    finally:
        link.close()
    if answer.status != 200:
        raise NotEnrolled(
            f"{url} has no certificate of its own (it answers {answer.status}); leave --pin away"
        )
    try:
        text = answer.body.decode("ascii")
        found = pin_of(text)
    except (NoPin, UnicodeDecodeError):
        raise NotEnrolled(f"{url}: what it calls its certificate is none") from None
    if found != pin:
        raise NotEnrolled(
            f"{url}: its certificate has another key than the pin says ({found}): the pin is mistyped, or "
            "somebody else answers there"
        )
    return text


@contextmanager
def authority_file(text: str | None, given: Path | None) -> Iterator[Path | None]:
    """A file of certificates to trust while enrolling; None means the system's."""
    if text is None:
        yield given
        return
    descriptor, name = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
        yield Path(name)
    finally:
        Path(name).unlink()


def reached(url: str, ca_file: Path | None) -> None:
    """Raises NotEnrolled when nothing answers there that the certificates vouch for."""
    link = Link(url, None, TIMEOUT_SECONDS, ca_file)
    try:
        answer = link.get(PING_PATH, {})
    except LinkError as error:
        raise NotEnrolled(f"{url}: {error}") from None
    finally:
        link.close()
    if answer.status != 204:
        raise NotEnrolled(f"{url}: is no collector; it answers {answer.status}")


def exchange(
    url: str,
    code: str,
    token: Secret,
    ca_file: Path | None,
    on_wait: Callable[[float], None] = lambda _seconds: None,
) -> Enrolled:
    """Make the token good by the code. Raises NotEnrolled. Doing it again with both the same is well."""
    link = Link(url, None, TIMEOUT_SECONDS, ca_file)
    body = msgspec.json.encode({"code": code, "token_digest": digest_of(token)})
    waited = 0.0
    try:
        while True:
            answer = link.post(ENROL_PATH, body, {"Content-Type": "application/json"})
            pause = answer.retry_after_seconds()
            if answer.status not in (429, 503) or pause is None or waited + pause > MOST_WAIT_SECONDS:
                return _enrolled(answer)
            on_wait(pause)
            time.sleep(pause)
            waited += pause
    except LinkError as error:
        raise NotEnrolled(f"{url}: {error}") from None
    finally:
        link.close()


def _checked(enrolled: Enrolled) -> Enrolled:
    try:
        for key in enrolled.package_keys:
            public_key(key)
    except ValueError as error:
        raise NotEnrolled(f"the collector's key for packages: {error}") from None
    return enrolled


def _enrolled(answer: Answer) -> Enrolled:
    try:
        if answer.status == 200:
            return _checked(msgspec.json.decode(answer.body, type=Enrolled))
        reason = msgspec.json.decode(answer.body, type=_Reason).reason
    except msgspec.MsgspecError:
        reason = ""
    printable = "".join(each for each in reason if each.isprintable())[:200]
    raise NotEnrolled(f"the collector refuses: {printable or f'it answers {answer.status}'}")
