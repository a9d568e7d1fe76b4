"""What the three robots have in common: an address that is a secret, and an answer that says its own code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from collector.messages.channels import Failure, NotDelivered, one_line
from collector.messages.channels.web import Answer, checked_url
from collector.store.influxdb.secret import Secret, read_secret
from config.settings import SettingsError


def secret_of(file: str, key: str) -> Secret:
    """The secret in a file, empty without one. Raises SettingsError, which never holds it."""
    try:
        return read_secret(Path(file)) if file else Secret()
    except ValueError as error:
        raise SettingsError(f"key {key}: {error}") from None


def url_of(file: str, key: str) -> Secret:
    """The address in a file. Raises SettingsError, which never holds it."""
    url = secret_of(file, key)
    try:
        checked_url(url)
    except ValueError as error:
        raise SettingsError(f"key {key}: {file} {error}") from None
    return url


def judge(
    answer: Answer,
    where: str,
    *,
    code_key: str,
    text_key: str,
    failures: Mapping[int, Failure],
    throttled_seconds: float,
) -> None:
    """Raise NotDelivered unless the robot's own code is 0; HTTP 200 alone says nothing."""
    code = answer.json.get(code_key)
    if code == 0 and answer.status == 200:
        return
    if not isinstance(code, int):
        refuse_status(answer, where)
        raise NotDelivered(Failure.UNREACHABLE, f"{where}: HTTP {answer.status} without {code_key}")
    failure = failures.get(code, Failure.CONTENT)
    wait = throttled_seconds if failure is Failure.THROTTLED else None
    words = one_line(str(answer.json.get(text_key, "")))
    raise NotDelivered(failure, f"{where}: {code_key} {code} {words}".strip(), wait)


def refuse_status(answer: Answer, where: str) -> None:
    """Raise NotDelivered for an HTTP status that is not 2xx."""
    status = answer.status
    if 200 <= status < 300:
        return
    if status in (429, 503):
        raise NotDelivered(Failure.THROTTLED, f"{where}: HTTP {status}", answer.wait_seconds or 60.0)
    if status >= 500:
        raise NotDelivered(Failure.UNREACHABLE, f"{where}: HTTP {status}")
    failure = Failure.CONTENT if status in (400, 413, 422) else Failure.REFUSED
    raise NotDelivered(failure, f"{where}: HTTP {status}")
